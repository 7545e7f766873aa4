"""Clock changes, case by case, against a scan of the wall clock.

28 nights in 17 zones (and one in UTC), 14 expressions, all 12 pairs of policies: 4,872 cases,
each asked forwards, backwards and counted.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.brute import Brute, Policy, rules
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import (
    Timetable,
    compile_schedule,
    count_between,
    next_after,
    previous_before_or_at,
    take,
)
from scheduler_svc.domain.schedule import DstGap, DstOverlap, Schedule

NIGHTS = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Pacific/Chatham", "2026-04-05"),
    ("Pacific/Chatham", "2026-09-27"),
    ("Asia/Kathmandu", "1986-01-01"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2019-02-17"),
    ("Europe/Dublin", "2026-03-29"),
    ("Europe/Dublin", "2026-10-25"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Antarctica/Casey", "2018-03-11"),
    ("America/Havana", "2025-03-09"),
    ("America/Havana", "2027-11-07"),
    ("America/Santiago", "2026-04-05"),
    ("America/Santiago", "2026-09-06"),
    ("Africa/Cairo", "2026-04-24"),
    ("America/Nuuk", "2024-03-31"),
    ("Asia/Pyongyang", "2015-08-15"),
    ("America/New_York", "2199-03-10"),
    ("UTC", "2026-03-29"),
]
EXPRESSIONS = [
    "30 2 * * *",
    "0 2 * * *",
    "0 0 * * *",
    "15,45 0-4 * * *",
    "30 23 * * *",
    "*/6 * * * *",
    "*/15 1-4 * * *",
    "*/20 2 * * *",
    "5 * * * *",
    "30 */2 * * *",
    "0-59/10 0-23 * * *",
    "30 1 * * SUN",
    "45 1 1-7 * +SUN",
    "0 0 L * *",
]
GAPS: tuple[DstGap, ...] = ("auto", "run_after", "skip")
OVERLAPS: tuple[DstOverlap, ...] = ("auto", "first", "second", "both")
EVERY_POLICY = [Policy(gap, overlap) for gap in GAPS for overlap in OVERLAPS]
JOB = UUID(int=1)


def compiled(cron: str, zone: str, policy: Policy) -> Timetable:
    schedule = Schedule(cron=cron, timezone=zone, dst_gap=policy.gap, dst_overlap=policy.overlap)
    return compile_schedule(schedule, job_id=JOB, created_at=datetime.now(UTC))


def window(day: str) -> tuple[datetime, datetime]:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return middle - timedelta(hours=18), middle + timedelta(hours=42)


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=lambda part: part)
@pytest.mark.parametrize("cron", EXPRESSIONS)
def test_a_night_of_change_gives_what_the_wall_clock_gives(cron: str, zone: str, day: str) -> None:
    low, high = window(day)
    brute = Brute(cron)
    for policy in EVERY_POLICY:
        expected = brute.instants(zone, low, high, policy)
        timetable = compiled(cron, zone, policy)
        first, until = epoch_ms(low), epoch_ms(high)
        got = [at for at in take(timetable, first - 1, len(expected) + 1) if at < until]
        assert [instant_at(at) for at in got] == expected, policy
        assert count_between(timetable, first - 1, until - 1, 10**6)[0] == len(expected), policy
        backwards, at = [], until - 1
        while (found := previous_before_or_at(timetable, at)) is not None and found >= first:
            backwards.append(found)
            at = found - 1
        assert backwards[::-1] == got, policy


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # A fixed time in a gap runs at the first instant after it.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T01:00Z"),
        # A fixed time that exists twice runs in the first pass.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-25T00:30Z"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30Z", "2026-10-26T01:30Z"),
        # Several that fall into one gap are one occurrence.
        ("0,30 2,3 * * *", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-29T01:30Z"),
        # A wildcard follows elapsed time through both passes.
        ("*/30 * * * *", "America/New_York", "2026-11-01T05:30Z", "2026-11-01T06:00Z"),
        ("@hourly", "America/New_York", "2026-11-01T05:00Z", "2026-11-01T06:00Z"),
        # Apia had no 30 December 2011: what it skips is dropped.
        ("0 9 * * *", "Pacific/Apia", "2011-12-29T19:00Z", "2011-12-30T19:00Z"),
        ("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", "2012-12-29T19:00Z"),
        # Asked from within the second pass, the answer lies ahead (cronsim answers the first).
        ("45 1 * * *", "America/New_York", "2026-11-01T06:30Z", "2026-11-02T06:45Z"),
        # With seconds, a gap still ends at one instant.
        ("* 30 2 * * *", "Europe/Berlin", "2026-03-29T00:59Z", "2026-03-29T01:00Z"),
        ("* 30 2 * * *", "Europe/Berlin", "2026-03-29T01:00Z", "2026-03-30T00:30Z"),
        # Where a year is named, a repeated hour at its very end is still seen.
        ("0 0 0 1 1 * 2199", "UTC", "2026-01-01T00:00Z", "2199-01-01T00:00Z"),
    ],
)  # fmt: skip
def test_a_known_case(cron: str, zone: str, after: str, expected: str) -> None:
    timetable = compiled(cron, zone, Policy())
    found = next_after(timetable, epoch_ms(datetime.fromisoformat(after)))
    assert found is not None
    assert instant_at(found) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(("zone", "day"), NIGHTS, ids=lambda part: part)
def test_each_night_of_the_table_has_a_change_in_it(zone: str, day: str) -> None:
    """The table would prove nothing if the zone rules had moved its nights away."""
    offsets = {edge.astimezone(rules(zone)).utcoffset() for edge in window(day)}
    assert len(offsets) == (1 if zone == "UTC" else 2)
