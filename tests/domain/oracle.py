"""All occurrences of a schedule over years, by a scan of its local times; no code of the product's.

Each day of the calendar that an expression names is taken with each of its hours and minutes, and
zoneinfo is asked which instants show them. What is left out (windows, start, end) is left out last.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from domain.brute import MINUTE, Brute, Policy, instants_of, rules

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def occurrences(schedule: dict[str, Any], low: datetime, high: datetime) -> list[int]:
    """List the occurrences in (low, high], in epoch milliseconds."""
    if "every" in schedule:
        found = set(_every(schedule["every"], schedule["anchor"], high))
    elif "at" in schedule:
        named = schedule["at"] if isinstance(schedule["at"], list) else [schedule["at"]]
        found = {_instant(text) for text in named}
    else:
        crons = schedule["cron"] if isinstance(schedule["cron"], list) else [schedule["cron"]]
        found = {each for cron in crons for each in _cron(cron, schedule, low, high)}
    kept = [each for each in found if low < each <= high and _named(schedule, each)]
    return sorted(round(each.timestamp() * 1000) for each in kept)


def _every(period: str, anchor: str, high: datetime) -> Iterator[datetime]:
    step = timedelta(seconds=int(period[:-1]) * UNITS[period[-1]])
    at = _instant(anchor)
    while at <= high:
        yield at
        at += step


def _cron(cron: str, schedule: dict[str, Any], low: datetime, high: datetime) -> Iterator[datetime]:
    brute, zone = Brute(cron), schedule.get("timezone", "UTC")
    policy = Policy(schedule.get("dst_gap", "auto"), schedule.get("dst_overlap", "auto"))
    day = low.date() - timedelta(days=2)
    while day <= high.date() + timedelta(days=2):
        if brute.has_day(day):
            for hour in brute.hours:
                for minute in brute.minutes:
                    yield from _at(datetime.combine(day, time(hour, minute)), zone, policy, brute)
        day += timedelta(days=1)


def _at(local: datetime, zone: str, policy: Policy, brute: Brute) -> set[datetime]:
    """Return the instants of one local time: where it is swallowed, what the policy makes of it."""
    passes = instants_of(local, zone)
    if passes:
        return brute._run(passes, passes[-1] - passes[0], None, policy)
    place, after = rules(zone), local
    while not (resumed := instants_of(after, zone)):
        after += MINUTE
    offsets = [local.replace(tzinfo=place, fold=fold).utcoffset() for fold in (0, 1)]
    assert offsets[0] is not None
    assert offsets[1] is not None
    return brute._run((), offsets[1] - offsets[0], resumed[0], policy)


def _named(schedule: dict[str, Any], at: datetime) -> bool:
    if schedule.get("start") and at < _instant(schedule["start"]):
        return False
    if schedule.get("end") and at >= _instant(schedule["end"]):
        return False
    windows = schedule.get("exclude", [])
    return not any(_instant(each["from"]) <= at < _instant(each["to"]) for each in windows)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
