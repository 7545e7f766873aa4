"""What a simulation draws by lot: schedules of every kind, and when the service is down."""

from random import Random
from typing import Any

from domain.simulation import DAY, HOUR, SECOND, Span, utc

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
         "America/Havana", "Pacific/Chatham", "Africa/Casablanca", "Antarctica/Troll"]  # fmt: skip
FIXED = ["30 2 * * *", "0 9 * * MON-FRI", "15 1,2,3 * * *", "0 0 L * *", "45 1 1-7 * +SUN",
         "0 3 29 2 *", "59 23 31 * *", "30 1,13 * * SAT,SUN"]  # fmt: skip
WILD = ["0 * * * SUN", "*/30 1-3 * * *", "20 */4 * * *", "*/15 2 * * *", "10 */6 * * MON-FRI",
        "0 */3 1,15 * *"]  # fmt: skip


def stamp(ms: int) -> str:
    return utc(ms).isoformat()


def a_schedule(
    kind: str, draw: Random, now: int, *, begin: int, end: int, spread: bool
) -> dict[str, Any]:
    """Make a schedule of a kind, with whatever else one may say."""
    made: dict[str, Any] = {}
    if kind == "every":
        made = {"every": draw.choice(["11h", "215m", "7h", "1d", "250m"]), "anchor": stamp(now)}
    elif kind == "at":
        made = {
            "at": [stamp(now + draw.randrange(1, end - begin)) for _ in range(draw.choice([1, 40]))]
        }
    else:
        crons = FIXED if kind == "fixed" else WILD
        made = {"cron": draw.sample(crons, draw.choice([1, 1, 2])), "timezone": draw.choice(ZONES)}
        made["dst_gap"] = draw.choice(["auto", "auto", "run_after", "skip"])
        made["dst_overlap"] = draw.choice(["auto", "auto", "first", "second", "both"])
    if draw.random() < 0.3:
        low = now + draw.randrange(min(200 * DAY, end - begin))
        made["exclude"] = [{"from": stamp(low), "to": stamp(low + draw.randrange(1, 9 * DAY))}]
    if draw.random() < 0.2:
        made["start"] = stamp(now + draw.randrange(min(60 * DAY, (end - begin) // 3)))
    if draw.random() < 0.1:
        made["end"] = stamp(now + draw.randrange(400 * DAY, 700 * DAY))
    if now == begin and draw.random() < 0.15:
        made["max_runs"] = draw.choice([1, 7, 300])
    if spread:
        made["spread"] = draw.choice(["40m", "90m", "1d"])
    return made


def some_outages(draw: Random, begin: int, end: int) -> list[Span]:
    """Let the service be down now and then, for seconds or for days."""
    found, at = [], begin
    while (at := at + draw.randrange(HOUR, 20 * DAY)) < end:
        length = draw.choice([20 * SECOND, 61 * SECOND, HOUR, 7 * HOUR, 40 * HOUR, 9 * DAY])
        found.append((at, at + draw.randrange(1, length + 1)))
        at = found[-1][1]
    return found
