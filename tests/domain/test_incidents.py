"""Incidents by an oracle that reads the whole history, and looks that miss no occurrence."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.incident_watch import LOOK_MS_MIN, questions, watching
from scheduler_svc.domain.incidents import End, Memory, judge, p95, rules_for
from scheduler_svc.domain.jobs import Alerts, FailuresOf
from scheduler_svc.domain.occurrences import take

SECOND, HOUR = 1000, 3_600_000
URL = "https://example.com/alerts"


def planned(**changes: Any) -> PlannedJob:
    made = definition(**changes)
    at = datetime(2026, 1, 5, 8, tzinfo=UTC)
    return plan_job(UUID(int=1), "default", 1, made, at)


def ended(status: Any, **changes: Any) -> End:
    return End(
        **{
            "run_id": UUID(int=2),
            "job_id": UUID(int=1),
            "namespace": "default",
            "trigger": "schedule",
            "scheduled_ms": MORNING_MS,
            "status": status,
            "reason": None if status == "succeeded" else "attempts",
            "attempt_count": 1,
            "started_at": instant_at(MORNING_MS),
            "lateness_ms": 0,
            "duration_ms": 100,
            **changes,
        }
    )


def told(rule: Alerts | None, outcomes: str, **changes: Any) -> list[tuple[int, str]]:
    """Judge a history one end after the other; return what was told after which."""
    job, memory = planned(**changes), Memory()
    found: list[tuple[int, str]] = []
    for n, letter in enumerate(outcomes):
        judged = judge(job, rule, memory, ended("succeeded" if letter == "s" else "failed"))
        memory = judged.memory
        found += [(n, one.condition) for one in judged.raised]
        found += [(n, "pause")] if judged.pause is not None else []
    return found


OUTCOMES = st.text("sf", max_size=60)


@given(OUTCOMES, st.integers(1, 6))
def test_each_row_of_failures_is_told_once_when_it_is_long_enough(outcomes: str, n: int) -> None:
    rule = Alerts(url=URL, failures_in_row=n, on_recovery=False)
    expected = [
        (at, "failures_in_row")
        for at in range(len(outcomes))
        if outcomes[: at + 1].endswith("f" * n) and not outcomes[: at + 1].endswith("f" * (n + 1))
    ]
    assert told(rule, outcomes) == expected


@given(OUTCOMES, st.integers(1, 6))
def test_every_told_row_recovers_with_the_next_success_and_nothing_else_does(
    outcomes: str, n: int
) -> None:
    rule = Alerts(url=URL, failures_in_row=n)
    expected: list[tuple[int, str]] = []
    row = 0
    for at, letter in enumerate(outcomes):
        if letter == "f":
            row += 1
            expected += [(at, "failures_in_row")] if row == n else []
        else:
            expected += [(at, "recovered")] if row >= n else []
            row = 0
    assert told(rule, outcomes) == expected


@given(OUTCOMES, st.integers(1, 5), st.integers(0, 5))
def test_k_of_n_begins_and_ends_as_the_window_says(outcomes: str, k: int, more: int) -> None:
    n = k + more
    rule = Alerts(url=URL, failures_in_row=1000, failures_of=FailuresOf(failures=k, runs=n))
    expected: list[tuple[int, str]] = []
    is_on = False
    for at, letter in enumerate(outcomes):
        bad = outcomes[max(0, at + 1 - n) : at + 1].count("f") >= k
        if bad and not is_on and letter == "f":
            expected.append((at, "failures_of"))
            is_on = True
        if is_on and not bad and letter == "s":
            expected.append((at, "recovered"))
            is_on = False
    assert told(rule, outcomes) == expected


@given(OUTCOMES, st.integers(1, 6))
def test_auto_pause_comes_after_each_so_many_failures_in_a_row(outcomes: str, n: int) -> None:
    expected: list[tuple[int, str]] = []
    row = 0
    for at, letter in enumerate(outcomes):
        row = row + 1 if letter == "f" else 0
        if row == n:
            expected.append((at, "pause"))
            row = 0
    assert told(None, outcomes, auto_pause_after=n) == expected


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60))
def test_p95_is_the_least_that_95_in_a_hundred_do_not_exceed(durations: list[int]) -> None:
    found = p95(durations)
    assert sum(one <= found for one in durations) * 100 >= 95 * len(durations)
    below = [one for one in durations if one < found]
    assert len(below) * 100 < 95 * len(durations)


@pytest.mark.parametrize(
    "end",
    [
        ended("failed", trigger="backfill"),
        ended("failed", trigger="alert"),
        ended("failed", trigger="replay", by_filter=True),
    ],
    ids=["backfill", "alert", "replay by filter"],
)
def test_runs_beside_the_health_of_the_job_change_nothing(end: End) -> None:
    rule = Alerts(url=URL, every_failure=True, failures_in_row=1)
    judged = judge(planned(auto_pause_after=1), rule, Memory(), end)
    assert (judged.memory, judged.raised, judged.pause) == (Memory(), [], None)


def test_a_replay_of_one_run_counts_but_is_never_late() -> None:
    rule = Alerts(url=URL, failures_in_row=1)
    end = ended("failed", trigger="replay", lateness_ms=9 * HOUR, late_is_news=True)
    judged = judge(planned(), rule, Memory(), end)
    assert [one.condition for one in judged.raised] == ["failures_in_row"]


def test_a_jobs_own_alerts_win_over_its_namespaces() -> None:
    own, shared, silent = Alerts(url=URL), Alerts(url=URL + "/ns"), Alerts()
    assert rules_for(own, shared) is own
    assert rules_for(silent, shared) is shared
    assert rules_for(silent, silent) is None
    assert rules_for(silent, None) is None


@given(
    st.sampled_from(["7s", "1m", "17m", "1h"]),
    st.sampled_from(["0s", "5s", "5m"]),
    st.integers(0, HOUR),
    st.booleans(),
)
def test_looks_ask_of_every_occurrence_and_move_on(
    every: str, late_after: str, offset_ms: int, never_ran: bool
) -> None:
    job = planned(schedule={"every": every, "anchor": "2026-01-05T00:00:00Z"})
    rule = Alerts(url=URL, late_after=late_after, never_ran=never_ran)
    now_ms = begin_ms = MORNING_MS + offset_ms
    memory = watching(job, rule, Memory(), now_ms=now_ms)
    asked, quiet = set(), []
    for _ in range(40):
        assert memory.watch_ms is not None
        assert memory.watch_ms >= now_ms + LOOK_MS_MIN
        now_ms = memory.watch_ms
        seen = questions(job, rule, memory, now_ms=now_ms)
        asked |= {seen.late_ms}
        quiet += [seen.quiet_ms] if seen.quiet_ms is not None else []
        memory = watching(job, rule, memory, now_ms=now_ms)
    coming = take(job.timetable, begin_ms, 10)
    if every != "7s":  # of a job that fires more often than it is looked at, the latest is asked
        assert set(coming) <= asked
    assert quiet == sorted(set(quiet))
    assert bool(quiet) == never_ran


def test_a_job_without_a_coming_occurrence_is_not_looked_at() -> None:
    job = planned(schedule={"at": "2026-01-05T07:00:00Z"})
    rule = Alerts(url=URL, never_ran=True)
    memory = watching(job, rule, Memory(), now_ms=MORNING_MS)
    assert (memory.watch_ms, memory.quiet_ms) == (None, None)
