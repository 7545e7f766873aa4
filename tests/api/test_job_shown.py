"""A job that is read again is answered as it is now, however it was answered before."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID, uuid4

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import json, structs

from factories import definition
from scheduler_svc.api.job_create import armed
from scheduler_svc.api.job_shown import KEPT_MAX, Shown
from scheduler_svc.api.job_view import job_view
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Job, LastRun, Pause

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
# The day before Berlin's clocks go back: a warning is over while the job is looked at.
BEGIN_MS = 1_792_800_000_000
HALF_PAST_TWO = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
# The day before one is in sight: the only Sunday on which this job's night has a gap is 2041-03-31,
# and changes are looked at for 1,830 days.
BEFORE_SIGHT_MS = 2_248_304_400_000 - 1830 * DAY_MS - DAY_MS
RARE = {"cron": "30 2 31 3 *", "timezone": "Europe/Berlin"}
# A day before the clocks of Lord Howe go forward, at half past an hour in UTC.
BEFORE_GAP_MS = 1_822_402_800_000
QUARTER_PAST_TWO = {"cron": "15 2 * * *", "timezone": "Australia/Lord_Howe"}
SCHEDULES = (
    {"every": "90m"},
    {"cron": "*/20 * * * *"},
    HALF_PAST_TWO,
    RARE,
    {"at": "2026-10-25T03:30:00Z"},
    {"every": "1h", "max_runs": 3},
)


def new(schedule: Mapping[str, object], begin_ms: int = BEGIN_MS) -> Job:
    blank = Job(
        id=uuid4(),
        namespace="default",
        definition=definition(schedule=schedule),
        state="active",
        pause=None,
        revision=1,
        created_at=instant_at(begin_ms),
        updated_at=instant_at(begin_ms),
        next_fire_at=None,
    )
    return armed(blank, begin_ms)[0]


def run_of(job: Job) -> LastRun:
    at = instant_at(BEGIN_MS)
    return LastRun(id=job.id, status="succeeded", scheduled_for=at, finished_at=at)


CHANGES = {
    "time": lambda job: job,
    "fired": lambda job: structs.replace(job, last_run=run_of(job), runs_made=job.runs_made + 1),
    "paused": lambda job: structs.replace(
        job,
        state="paused",
        pause=Pause(reason="holiday", since=instant_at(BEGIN_MS), until=None, by="me"),
        next_fire_at=None,
    ),
    "completed": lambda job: structs.replace(
        job, state="completed", pause=None, scheduled_for=None, next_fire_at=None
    ),
    "moved": lambda job: structs.replace(
        job, scheduled_for=job.created_at + timedelta(hours=30), revision=job.revision + 1
    ),
    "resealed": lambda job: structs.replace(job, definition=definition(description="another")),
}
steps = st.lists(
    st.tuples(
        st.sampled_from([*["time"] * 5, *CHANGES]),
        st.sampled_from([0, 1, 999, HOUR_MS * 5 // 12, HOUR_MS - 1, HOUR_MS, 7 * HOUR_MS]),
    ),
    min_size=2,
    max_size=12,
)


@given(st.sampled_from(SCHEDULES), st.sampled_from([BEGIN_MS, BEFORE_SIGHT_MS]), steps)
@example({"cron": "*/20 * * * *"}, BEGIN_MS, [("time", 0), ("time", HOUR_MS * 5 // 12)])
@example(QUARTER_PAST_TWO, BEFORE_GAP_MS, [("moved", 24 * HOUR_MS), ("time", HOUR_MS // 2)])
@example(RARE, BEFORE_SIGHT_MS, [("time", 23 * HOUR_MS), ("time", HOUR_MS)])
def test_what_is_answered_is_what_is_so_now(
    schedule: Mapping[str, object], begin_ms: int, path: list[tuple[str, int]]
) -> None:
    shown, job, now_ms = Shown(), new(schedule, begin_ms), begin_ms
    for change, later_ms in path:
        job, now_ms = CHANGES[change](job), now_ms + later_ms
        assert shown.text(job, now_ms=now_ms) == json.encode(job_view(job, now_ms=now_ms))


def test_a_job_that_stays_as_it_is_is_written_once() -> None:
    shown, job = Shown(), new(SCHEDULES[0])
    first = shown.text(job, now_ms=BEGIN_MS)
    again = structs.replace(job, created_at=instant_at(BEGIN_MS))
    assert shown.text(again, now_ms=BEGIN_MS + 1000) is first


def test_no_more_is_kept_than_there_is_room_for() -> None:
    shown, job = Shown(), new(SCHEDULES[0])
    first = shown.text(job, now_ms=BEGIN_MS)
    for number in range(KEPT_MAX):
        shown.text(structs.replace(job, id=UUID(int=number)), now_ms=BEGIN_MS)
    assert shown.text(job, now_ms=BEGIN_MS) is not first


def test_what_is_long_is_not_kept() -> None:
    shown = Shown()
    job = structs.replace(new(SCHEDULES[0]), definition=definition(description="é" * 4096))
    first = shown.text(job, now_ms=BEGIN_MS)
    assert shown.text(job, now_ms=BEGIN_MS) is not first
