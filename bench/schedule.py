"""What telling the time costs: next instants, previews, hostile expressions, herds of jobs.

Run with `python bench/schedule.py`; prints one line for each figure. Takes a few seconds.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from time import perf_counter, process_time
from uuid import UUID

from scheduler_svc.domain.clock_changes import local, note, warnings
from scheduler_svc.domain.cron_grammar import CronFault
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import (
    Timetable,
    compile_schedule,
    count_between,
    next_after,
    take,
)
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.zones import zone_names

NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)
JOB = UUID(int=1)
JOBS = 10_000
HOSTILE = [
    "0 0 29 2 *",
    "0 0 0 29 2 * 2196",
    "0 0 0 31 12 * 2199",
    "59 59 23 31 12 +SUN 1970-2199/7",
    "0 0 0 29 2 +SUN *",
    "0 0 31W 2-12/2 +SUN#5",
    ",".join(str(minute % 60) for minute in range(85)) + " 0 1 1 *",
    "* * * * * * 2190-2199",
    "0 0 31 * +MON#5",
]


def distinct(count: int) -> list[Schedule]:
    """Make schedules of which no two are alike."""
    draw = random.Random(7)
    zones = sorted(zone_names())
    shapes = ["{m} {h} * * *", "{m} {h} * * {d}", "{m},{n} * * * *", "{m} {h} {D} * *",
              "{m}-59/15 {h}-23/2 * * MON-FRI", "{n} {m} {h} * * *"]  # fmt: skip
    made: dict[tuple[str, str], Schedule] = {}
    while len(made) < count:
        cron = draw.choice(shapes).format(
            m=draw.randrange(60), n=draw.randrange(60), h=draw.randrange(24),
            d=draw.randrange(7), D=draw.randrange(1, 29),
        )  # fmt: skip
        zone = draw.choice(zones)
        made[cron, zone] = Schedule(cron=cron, timezone=zone)
    return list(made.values())


def line(what: str, seconds: float, per: int = 1) -> None:
    print(f"{what:<62} {seconds / per * 1e6:>10.1f} us")


def timed(what: str, work: Callable[[], object], per: int = 1) -> None:
    begun = process_time()
    work()
    line(what, process_time() - begun, per)


def main() -> None:
    now = epoch_ms(NOW)
    schedules = distinct(JOBS)

    def tables() -> list[Timetable]:
        return [compile_schedule(each, job_id=JOB, created_at=NOW) for each in schedules]

    timed(f"compile, first time, {JOBS} distinct", tables, JOBS)
    timed(f"compile, cached, {JOBS} distinct", tables, JOBS)
    compiled = tables()
    at = [next_after(table, now) or 0 for table in compiled]
    for turn in range(3):
        begun = process_time()
        at = [next_after(table, since) or 0 for table, since in zip(compiled, at, strict=True)]
        line(f"next instant, {JOBS} distinct expressions and zones, turn {turn + 1}",
             process_time() - begun, JOBS)  # fmt: skip
    for cron in ("* * * * * *", "*/15 * * * *", "30 2 * * *", "0 9 * * MON", "0 0 LW * *"):
        one(cron, now)
    hostile(now)


def one(cron: str, now: int) -> None:
    """Print what one expression costs once its zone is known."""
    table = compile_schedule(
        Schedule(cron=cron, timezone="America/New_York"), job_id=JOB, created_at=NOW
    )
    coming = take(table, now, 1000)
    year = now + 365 * 86_400_000
    timed(f"{cron}: preview of 1000", partial(take, table, now, 1000))
    timed(f"{cron}: local times and notes of those", partial(shown, table, coming))
    timed(f"{cron}: a year counted", partial(count_between, table, now, year, 10**9))
    timed(f"{cron}: warnings", partial(warnings, table, now))


def shown(table: Timetable, coming: list[int]) -> list[tuple[str, str | None]]:
    return [(local(table, each), note(table, each)) for each in coming]


def hostile(now: int) -> None:
    """Print the slowest first answer, in a zone not seen before."""
    worst = 0.0
    for number, cron in enumerate(HOSTILE):
        begun = perf_counter()
        try:
            table = compile_schedule(
                Schedule(cron=cron, timezone="Pacific/Chatham"), job_id=JOB, created_at=NOW
            )
        except CronFault:
            line(f"hostile {number}: refused at parse", perf_counter() - begun)
            continue
        parsed = perf_counter() - begun
        begun = perf_counter()
        next_after(table, now)
        worst = max(worst, perf_counter() - begun)
        line(f"hostile {number}: parse", parsed)
    line("hostile: slowest first answer after parse", worst)


if __name__ == "__main__":
    main()
