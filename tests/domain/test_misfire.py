"""What was missed: sorted by grace, policy and lateness, each occurrence into exactly one place."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import MORNING_MS, definition
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Misfire
from scheduler_svc.domain.misfire import CATCH_UP_MAX, ON_TIME_MAX, Due, judge
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, fire_at

JOB = UUID("01980000-0000-7000-8000-000000000001")
PERIOD = 10_000
FIRST = MORNING_MS + PERIOD


def _timetable(**schedule: Any) -> Timetable:
    made = definition(schedule=schedule or {"every": "10s"})
    created = datetime(2026, 1, 5, 8, tzinfo=UTC)
    return compile_schedule(made.schedule, job_id=JOB, created_at=created)


def _judge(late_ms: int, **rule: Any) -> Due:
    return judge(_timetable(), Misfire(**rule), first_ms=FIRST, now_ms=FIRST + late_ms)


def _covered(due: Due) -> list[int]:
    found = [*due.on_time, *due.catch_up]
    for row in due.skipped:
        found += range(row.first_ms, row.last_ms + 1, PERIOD)
    return sorted(found)


def test_up_to_the_grace_time_all_is_on_time() -> None:
    due = _judge(60_000)
    assert due.on_time == [FIRST + n * PERIOD for n in range(7)]
    assert (due.catch_up, due.skipped) == ([], [])


def test_one_millisecond_beyond_it_the_first_is_missed() -> None:
    due = _judge(60_001)
    assert len(due.on_time) == 6
    assert [(row.count, row.reason) for row in due.skipped] == [(1, "merged")]


def test_once_with_nothing_on_time_catches_the_latest_up() -> None:
    due = _judge(25_000, grace="3s")
    assert due.catch_up == [FIRST + 2 * PERIOD]
    assert [(row.count, row.reason) for row in due.skipped] == [(2, "merged")]


def test_all_is_capped_and_the_rest_is_in_the_ledger() -> None:
    due = _judge(20_000 * PERIOD, policy="all", grace="0s", max_lateness="30d")
    assert len(due.catch_up) == CATCH_UP_MAX
    assert due.catch_up[0] == FIRST
    (row,) = due.skipped
    assert (row.reason, row.count) == ("misfire", 20_000 - CATCH_UP_MAX)


def test_all_looks_a_day_back_where_nothing_is_said() -> None:
    due = judge(
        _timetable(every="1h"),
        Misfire(policy="all", grace="1m"),
        first_ms=MORNING_MS + 3_600_000,
        now_ms=MORNING_MS + 40 * 3_600_000 + 1_800_000,
    )
    assert len(due.catch_up) == 24
    assert [(row.count, row.reason) for row in due.skipped] == [(16, "too_late")]


def test_the_last_occurrence_leaves_no_next() -> None:
    due = judge(
        _timetable(at="2026-01-05T08:00:10Z"),
        Misfire(),
        first_ms=FIRST,
        now_ms=FIRST + 5,
    )
    assert (due.on_time, due.next_ms) == ([FIRST], None)


@pytest.mark.parametrize("policy", ["once", "skip", "all"])
def test_a_missed_last_occurrence_leaves_no_next(policy: Any) -> None:
    due = judge(
        _timetable(at="2026-01-05T08:00:10Z"),
        Misfire(policy=policy),
        first_ms=FIRST,
        now_ms=FIRST + 3_600_000,
    )
    assert due.next_ms is None
    assert _covered(due) == [FIRST]


@given(
    st.integers(0, 3_000_000),
    st.uuids(),
    st.sampled_from(["0s", "9s", "50s"]),
    st.sampled_from(["once", "skip", "all"]),
    st.sampled_from(["0s", "1ms", "9s", "10s", "11s", "1m", "1h"]),
    st.sampled_from([None, "0s", "15s", "10m"]),
)
def test_each_occurrence_is_in_one_place_and_the_next_is_the_first_beyond_now(
    late_ms: int, job_id: UUID, spread: str, policy: Any, grace: str, most: str | None
) -> None:
    """Also where the spread is cut off by the next occurrence."""
    made = definition(schedule={"every": "10s", "spread": spread}).schedule
    created = datetime(2026, 1, 5, 8, tzinfo=UTC)
    timetable = compile_schedule(made, job_id=job_id, created_at=created)
    now_ms = fire_at(timetable, FIRST) + late_ms
    rule = Misfire(policy=policy, grace=grace, max_lateness=most)
    due = judge(timetable, rule, first_ms=FIRST, now_ms=now_ms)
    named = range(FIRST, now_ms + 1, PERIOD)
    assert _covered(due) == [at for at in named if fire_at(timetable, at) <= now_ms]
    assert due.next_ms == _covered(due)[-1] + PERIOD
    assert all(row.count == (row.last_ms - row.first_ms) // PERIOD + 1 for row in due.skipped)
    limits = [] if most is None else [milliseconds(most)]
    for row in due.skipped:
        beyond = now_ms - fire_at(timetable, row.last_ms)
        within = now_ms - fire_at(timetable, row.first_ms)
        assert all((row.reason == "too_late") == (beyond > limit) for limit in limits)
        assert all((row.reason == "too_late") == (within > limit) for limit in limits)


def test_a_grace_time_longer_than_the_cap_leaves_the_rest_to_the_next_pass() -> None:
    timetable = _timetable(every="1s")
    rule = Misfire(policy="skip", grace="1h")
    due = judge(timetable, rule, first_ms=FIRST, now_ms=FIRST + 2 * 3_600_000)
    assert [row.count for row in due.skipped] == [3600]
    assert len(due.on_time) == ON_TIME_MAX
    assert due.next_ms == due.on_time[-1] + 1000


@given(st.integers(0, 3_000_000), st.sampled_from(["once", "skip", "all"]))
def test_on_time_means_within_the_grace_time(late_ms: int, policy: Any) -> None:
    due = _judge(late_ms, policy=policy, grace="30s")
    now_ms = FIRST + late_ms
    assert all(now_ms - at <= 30_000 for at in due.on_time)
    assert all(now_ms - at > 30_000 for at in due.catch_up)
