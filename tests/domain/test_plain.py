"""A step and the rules say the same: what `plain_following` decides, `decide` decides so too."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import (
    Decision,
    NewRun,
    PlannedJob,
    Timer,
    decide,
    plain_following,
    plan_job,
)
from scheduler_svc.domain.holds import Hold, under_hold
from scheduler_svc.domain.ids import instant_at, run_id

JOB = UUID("01980000-0000-7000-8000-000000000001")
ANCHOR = datetime(2026, 1, 5, 8, tzinfo=UTC)
HOUR = 3_600_000
SCHEDULES = st.sampled_from(
    [
        {"every": "10s"},
        {"every": "1m", "spread": "20s"},
        {"every": "1m", "max_runs": 3},
        {"every": "90s", "end": "2026-01-05T10:00:00Z"},
        {"cron": "*/5 * * * *", "timezone": "Europe/Berlin"},
        {"cron": "0 9 * * *", "exclude": ["* * * * MON"]},
        {"at": ["2026-01-05T08:59:00Z", "2026-01-05T09:01:00Z"]},
    ]
)
MISFIRES = st.fixed_dictionaries(
    {
        "policy": st.sampled_from(["once", "skip", "all"]),
        "grace": st.sampled_from(["0s", "1s", "1m", "1h"]),
        "max_lateness": st.sampled_from([None, "30s", "2h"]),
    }
)


@given(
    schedule=SCHEDULES,
    misfire=MISFIRES,
    overlap=st.sampled_from(["skip", "queue", "cancel", "allow"]),
    offset_ms=st.integers(-HOUR, HOUR),
    late_ms=st.one_of(st.integers(-1000, 2000), st.integers(-HOUR, HOUR)),
    kept_ms=st.sampled_from([0, 0, 0, 5000]),
    made=st.integers(0, 3),
)
def test_what_a_step_decides_the_rules_decide_so_too(
    schedule: dict[str, object],
    misfire: dict[str, object],
    overlap: str,
    offset_ms: int,
    late_ms: int,
    kept_ms: int,
    made: int,
) -> None:
    plan = plan_job(
        JOB,
        "default",
        1,
        definition(schedule=schedule, misfire=misfire, overlap=overlap),
        ANCHOR,
    )
    at = plan.timetable.next_after(MORNING_MS + offset_ms)
    if at is None:
        return
    timer, now_ms = Timer(JOB, at, at + kept_ms, 1, made), at + late_ms
    following = plain_following(plan, timer, now_ms)
    if following is None:
        return
    run = NewRun(run_id(JOB, at), at, at, "schedule", "running")
    told = decide(plan, timer, [], now_ms=now_ms)
    assert told == Decision(plan, following, following, made + 1, [run])


def _plan(**changes: object) -> PlannedJob:
    return plan_job(JOB, "default", 1, definition(schedule={"every": "10s"}, **changes), ANCHOR)


def test_an_ordinary_timer_is_decided_at_a_step() -> None:
    """Else the rules would be asked each time, and nobody would notice."""
    at = MORNING_MS + 10_000
    timer = Timer(JOB, at, at, 1, 0)
    assert plain_following(_plan(), timer, at - 500) == at + 10_000
    assert plain_following(_plan(), timer, at + 500) == at + 10_000
    assert plain_following(_plan(), timer, at + 10_000) is None


def test_under_a_hold_the_rules_are_asked() -> None:
    at = MORNING_MS + 10_000
    hold = Hold(
        namespace="default",
        reason="outage",
        since=ANCHOR,
        alive_at=None,
        missed="once",
        decided_at=instant_at(at),
    )
    held = under_hold(_plan(), hold, now_ms=at + 1)
    assert plain_following(held, Timer(JOB, at, at, 1, 0), at + 1) is None
