"""Rows that are there already: what is decided goes around them, whatever the policy."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import Decision, Deferred, PlannedJob, Timer, decide, plan_job
from scheduler_svc.domain.ids import run_id
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import Recorded, recorded

JOB = UUID("01980000-0000-7000-8000-000000000001")
ANCHOR = datetime(2026, 1, 5, 8, tzinfo=UTC)
PERIOD = 10_000
FIRST = MORNING_MS + PERIOD
FREE_MAX = 1_000_000


def _plan(**changes: Any) -> PlannedJob:
    made = definition(**({"schedule": {"every": "10s"}, "overlap": "allow"} | changes))
    return plan_job(JOB, "default", 1, made, ANCHOR)


def _at(n: int) -> int:
    return MORNING_MS + n * PERIOD


def _rows(numbers: set[int], *, at_most: int = FREE_MAX) -> Recorded:
    """Return rows for occurrences by their numbers, those beside each other as one now and then."""
    rows: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if rows and n % 3 and rows[-1][1] == _at(n - 1):
            rows[-1] = rows[-1][0], _at(n)
        else:
            rows.append((_at(n), _at(n)))
    return recorded(rows[:at_most], at_most=at_most)


def _decide(plan: PlannedJob, last: int, rows: Recorded, **more: Any) -> Decision:
    timer = Timer(JOB, more.pop("first", FIRST), FIRST, 1, more.pop("made", 0))
    told = decide(plan, timer, [], now_ms=_at(last) + 5000, recorded=rows, **more)
    assert isinstance(told, Decision)
    return told


def _covered(told: Decision) -> list[int]:
    found: list[int] = []
    for run in told.runs:
        first = (run.scheduled_ms - MORNING_MS) // PERIOD
        found += range(first, first + run.occurrences)
        until = run.scheduled_ms if run.until_ms is None else run.until_ms
        assert until == _at(first + run.occurrences - 1)
    return sorted(found)


RULES = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["once", "skip", "all"]),
        "grace": st.sampled_from(["0s", "25s", "1m"]),
        "max_lateness": st.sampled_from([None, "30s", "2m", "7d"]),
    }
)


@given(misfire=RULES, last=st.integers(1, 40), there=st.sets(st.integers(1, 45)))
def test_each_occurrence_has_a_row_once(
    misfire: dict[str, Any], last: int, there: set[int]
) -> None:
    told = _decide(_plan(misfire=misfire), last, _rows(there))
    assert _covered(told) == [n for n in range(1, last + 1) if n not in there]
    assert told.scheduled_ms == _at(last + 1)
    ids = {run.id for run in told.runs}
    assert len(ids) == len(told.runs)
    assert not ids & {run_id(JOB, _at(n)) for n in there}
    assert told.runs_made == sum(run.status != "skipped" for run in told.runs)


@given(
    misfire=RULES,
    last=st.integers(1, 40),
    there=st.sets(st.integers(1, 45)),
    at_most=st.integers(1, 5),
    limit=st.none() | st.integers(1, 8),
)
def test_it_goes_on_where_its_rows_are_known_no_more(
    misfire: dict[str, Any], last: int, there: set[int], at_most: int, limit: int | None
) -> None:
    """Portion by portion the same occurrences, and as many runs as are allowed at most."""
    plan = _plan(misfire=misfire, schedule={"every": "10s", "max_runs": limit})
    covered: list[int] = []
    at, made, portions = FIRST, 0, 0
    while True:
        known = {n for n in there if _at(n) >= at}
        told = _decide(plan, last, _rows(known, at_most=at_most), first=at, made=made)
        covered += _covered(told)
        made = told.runs_made
        portions += 1
        assert portions <= len(there) + 2
        if told.scheduled_ms is None or told.scheduled_ms > _at(last):
            break
        assert told.scheduled_ms > at
        at = told.scheduled_ms
    assert sorted(covered) == [n for n in range(1, last + 1) if n not in there]
    assert limit is None or made <= limit
    assert told.completed == (limit is not None and made >= limit)


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel", "allow"])
def test_ahead_of_its_instant_one_that_has_ended_already_is_passed_over(overlap: str) -> None:
    """After a clock that was set back."""
    timer = Timer(JOB, FIRST, FIRST, 1, 1)
    rows = Recorded(((FIRST, FIRST),))
    told = decide(_plan(overlap=overlap), timer, [], now_ms=FIRST - 500, recorded=rows)
    assert isinstance(told, Decision)
    assert (told.runs, told.runs_made, told.scheduled_ms) == ([], 1, FIRST + PERIOD)


def test_ahead_of_its_instant_one_that_is_held_is_left_until_then() -> None:
    timer = Timer(JOB, FIRST, FIRST, 1, 1)
    rows = Recorded(((FIRST, FIRST),))
    held = OpenRun(run_id(JOB, FIRST), queued=False)
    told = decide(_plan(), timer, [held], now_ms=FIRST - 500, recorded=rows)
    assert told == Deferred(FIRST)


def test_rows_over_one_another_are_one_stretch() -> None:
    rows = recorded([(10, 50), (20, 20), (50, 60), (80, 80)], at_most=10)
    assert rows.stretches == ((10, 60), (80, 80))
    assert list(rows.gaps(0, 100)) == [(0, 9), (61, 79), (81, 100)]
    assert list(rows.gaps(15, 70)) == [(61, 70)]
    assert list(rows.gaps(20, 30)) == []
    assert [rows.holds(at) for at in (9, 10, 60, 61, 80, 81)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_a_run_that_is_refused_uses_up_nothing_of_max_runs_and_makes_no_room() -> None:
    plan = _plan(schedule={"every": "10s", "max_runs": 2}, overlap="cancel")
    other = OpenRun(UUID(int=7), queued=False)
    timer = Timer(JOB, FIRST, FIRST, 1, 0)
    refused = frozenset({run_id(JOB, _at(1)), run_id(JOB, _at(3))})
    told = decide(plan, timer, [], now_ms=_at(4), refused=refused)
    assert isinstance(told, Decision)
    said = [(run.status, run.reason) for run in told.runs]
    assert said == [
        ("skipped", "quota"),
        ("running", None),
        ("skipped", "quota"),
        ("running", None),
    ]
    assert told.runs_made == 2
    assert told.completed
    told = decide(plan, timer, [other], now_ms=FIRST, refused=refused)
    assert isinstance(told, Decision)
    assert (told.cancel, told.runs_made, told.scheduled_ms) == ([], 0, FIRST + PERIOD)
    ahead = decide(plan, timer, [], now_ms=FIRST - 1, refused=refused)
    assert isinstance(ahead, Decision)
    assert (ahead.runs[0].reason, ahead.runs_made, ahead.scheduled_ms) == (
        "quota",
        0,
        FIRST + PERIOD,
    )
