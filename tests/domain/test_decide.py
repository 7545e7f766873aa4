"""The heart of the tick: a job, its timer, its unfinished runs and now in; a decision out."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import Decision, Deferred, PlannedJob, Timer, decide, plan_job
from scheduler_svc.domain.ids import run_id
from scheduler_svc.domain.overlap import OpenRun

JOB = UUID("01980000-0000-7000-8000-000000000001")
ANCHOR = datetime(2026, 1, 5, 8, tzinfo=UTC)
PERIOD = 10_000
OTHER = OpenRun(UUID(int=7), queued=False)
POLICIES = ["skip", "queue", "cancel", "allow"]


def _plan(**changes: object) -> PlannedJob:
    made = definition(**({"schedule": {"every": "10s"}} | changes))
    return plan_job(JOB, "default", 1, made, ANCHOR)


def _timer(n: int, runs_made: int = 0) -> Timer:
    at = MORNING_MS + n * PERIOD
    return Timer(JOB, at, at, 1, runs_made)


def _decide(plan: PlannedJob, timer: Timer, now_ms: int, *standing: OpenRun) -> Decision:
    told = decide(plan, timer, list(standing), now_ms=now_ms)
    assert isinstance(told, Decision)
    return told


@pytest.mark.parametrize("policy", POLICIES)
def test_ahead_of_its_instant_a_free_job_is_claimed_and_the_timer_moves(policy: str) -> None:
    told = _decide(_plan(overlap=policy), _timer(1), MORNING_MS + PERIOD - 500)
    (run,) = told.runs
    assert (run.id, run.status) == (run_id(JOB, MORNING_MS + PERIOD), "running")
    assert run.fire_ms == MORNING_MS + PERIOD
    assert told.scheduled_ms == told.fire_ms == MORNING_MS + 2 * PERIOD
    assert told.runs_made == 1


@pytest.mark.parametrize("policy", ["skip", "queue", "cancel"])
def test_ahead_of_its_instant_a_busy_job_is_deferred(policy: str) -> None:
    now_ms = MORNING_MS + PERIOD - 1
    told = decide(_plan(overlap=policy), _timer(1), [OTHER], now_ms=now_ms)
    assert told == Deferred(MORNING_MS + PERIOD)


def test_a_busy_job_that_allows_overlap_is_claimed_ahead() -> None:
    told = _decide(_plan(overlap="allow"), _timer(1), MORNING_MS + PERIOD - 1, OTHER)
    assert [run.status for run in told.runs] == ["running"]


@pytest.mark.parametrize("policy", POLICIES)
def test_an_occurrence_whose_run_is_there_already_is_deferred_and_then_passed_over(
    policy: str,
) -> None:
    same = OpenRun(run_id(JOB, MORNING_MS + PERIOD), queued=False)
    plan, timer = _plan(overlap=policy), _timer(1, runs_made=1)
    ahead = decide(plan, timer, [same], now_ms=MORNING_MS + PERIOD - 1)
    assert ahead == Deferred(MORNING_MS + PERIOD)
    told = _decide(plan, timer, MORNING_MS + PERIOD, same)
    assert told.runs == []
    assert told.cancel == []
    assert told.runs_made == 1
    assert told.scheduled_ms == MORNING_MS + 2 * PERIOD


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ("skip", ("skipped", "overlap", False)),
        ("queue", ("due", None, True)),
        ("cancel", ("running", None, False)),
        ("allow", ("running", None, False)),
    ],
)
def test_at_its_instant_a_busy_job_follows_its_policy(
    policy: str, wanted: tuple[str, str | None, bool]
) -> None:
    told = _decide(_plan(overlap=policy), _timer(1), MORNING_MS + PERIOD, OTHER)
    (run,) = told.runs
    assert (run.status, run.reason, run.queued) == wanted
    assert told.cancel == ([OTHER.id] if policy == "cancel" else [])


def test_a_skipped_occurrence_does_not_use_up_max_runs() -> None:
    plan = _plan(schedule={"every": "10s", "max_runs": 1}, overlap="skip")
    told = _decide(plan, _timer(1), MORNING_MS + PERIOD, OTHER)
    assert told.runs_made == 0
    assert told.scheduled_ms == MORNING_MS + 2 * PERIOD


def test_the_last_run_claimed_ahead_leaves_a_timer_that_only_completes() -> None:
    plan = _plan(schedule={"every": "10s", "max_runs": 1})
    told = _decide(plan, _timer(1), MORNING_MS + PERIOD - 500)
    assert (told.scheduled_ms, told.fire_ms) == (None, MORNING_MS + PERIOD)
    assert not told.completed
    last = Timer(JOB, None, MORNING_MS + PERIOD, 1, 1)
    assert _decide(plan, last, MORNING_MS + PERIOD).completed


def test_the_last_run_at_its_instant_completes_the_job() -> None:
    plan = _plan(schedule={"every": "10s", "max_runs": 1})
    told = _decide(plan, _timer(1), MORNING_MS + PERIOD)
    assert (told.scheduled_ms, told.fire_ms, told.completed) == (None, None, True)


def test_on_time_work_comes_before_what_is_caught_up() -> None:
    plan = _plan(overlap="allow", misfire={"policy": "all", "grace": "15s"})
    told = _decide(plan, _timer(1), MORNING_MS + 6 * PERIOD)
    assert [run.trigger for run in told.runs] == ["schedule"] * 2 + ["catch_up"] * 4
    caught_up = [run.scheduled_ms for run in told.runs if run.trigger == "catch_up"]
    assert caught_up == sorted(caught_up)


def test_a_sending_time_never_reaches_the_next_occurrence() -> None:
    plan = _plan(schedule={"cron": ["0 * * * *", "1 8 * * *"], "spread": "59m"}, overlap="allow")
    told = _decide(plan, Timer(JOB, MORNING_MS - 60_000 * 60, MORNING_MS - 1, 1, 0), MORNING_MS - 1)
    assert told.scheduled_ms == MORNING_MS
    assert told.fire_ms is not None
    assert told.fire_ms < MORNING_MS + 60_000


MISFIRES = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["once", "skip", "all"]),
        "grace": st.sampled_from(["0s", "5s", "25s", "1m"]),
        "max_lateness": st.sampled_from([None, "0s", "35s", "5m"]),
    }
)


@given(
    MISFIRES,
    st.sampled_from(POLICIES),
    st.integers(-2_000, 600_000),
    st.booleans(),
    st.none() | st.integers(1, 5),
)
def test_every_occurrence_up_to_now_is_decided_exactly_once_and_none_beyond(
    rule: dict[str, object], policy: str, late_ms: int, busy: bool, most: int | None
) -> None:
    schedule: dict[str, object] = {"every": "10s"} | ({"max_runs": most} if most else {})
    plan = _plan(schedule=schedule, overlap=policy, misfire=rule)
    now_ms = MORNING_MS + PERIOD + late_ms
    told = decide(plan, _timer(1), [OTHER] if busy else [], now_ms=now_ms)
    if isinstance(told, Deferred):
        assert busy
        assert late_ms < 0
        return
    covered: list[int] = []
    for run in told.runs:
        covered += range(run.scheduled_ms, (run.until_ms or run.scheduled_ms) + 1, PERIOD)
        assert (run.status == "skipped") == (run.reason is not None)
    assert len(covered) == len(set(covered)) == sum(run.occurrences for run in told.runs)
    named = list(range(MORNING_MS + PERIOD, max(now_ms, MORNING_MS + PERIOD) + 1, PERIOD))
    sent = [run for run in told.runs if run.status != "skipped"]
    assert told.runs_made == len(sent)
    if most is None:
        assert sorted(covered) == named
        assert told.scheduled_ms == named[-1] + PERIOD
    else:
        assert set(covered) <= set(named)
        assert len(sent) <= most
        if told.completed:
            assert sorted(covered) == named
        assert (told.scheduled_ms is None) == (len(sent) == most)


@given(st.integers(-900, 40_000), st.booleans(), st.sampled_from(POLICIES))
def test_the_timer_moves_by_the_schedule_alone(late_ms: int, busy: bool, policy: str) -> None:
    """G7: neither an unfinished run nor a policy moves the cadence."""
    now_ms = MORNING_MS + PERIOD + late_ms
    standing = [OTHER] if busy else []
    told = decide(_plan(overlap=policy), _timer(1), standing, now_ms=now_ms)
    free = decide(_plan(overlap="allow"), _timer(1), [], now_ms=now_ms)
    assert isinstance(free, Decision)
    if isinstance(told, Decision):
        assert told.scheduled_ms == free.scheduled_ms
