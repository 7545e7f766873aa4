"""Pause and resume: the cadence goes on underneath, and what passed is accounted for at resume.

Both are idempotent: a paused job keeps its first reason, one that is not paused stays as it is.
"""

from typing import Literal

from msgspec import structs

from scheduler_svc.api import etag, handover
from scheduler_svc.api.check_target import NOT_AVAILABLE
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_change import LockedJob, lock_job, moved, revised, write_change
from scheduler_svc.api.job_edit import recorded_until
from scheduler_svc.api.job_open import open_runs, release_queued
from scheduler_svc.api.job_view import job_view, planned
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_jobs import Job, JobPauseRequest, JobResumeRequest
from scheduler_svc.domain import jobs
from scheduler_svc.domain.arming import Missed, arm, passed_while_paused
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection, transaction

EMPTY = b"{}"


async def pause_job(call: Call) -> Reply:
    """Pause a job: nothing of it is sent any more, bar what has left already."""
    asked = decode(call.body or EMPTY, JobPauseRequest)
    if asked.until is not None:
        raise Invalid([Fault("/until", f"a pause that ends by itself {NOT_AVAILABLE}")])
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        job, changed = locked.job, locked.job.state != "paused"
        if changed:
            job = await _pause(conn, locked, asked.reason)
    if changed:
        call.deps.on_event(EventName.JOB_PAUSED, job_id=job.id, reason=asked.reason)
        await handover.given_up(call, job.id)
    return _reply(job, locked)


async def resume_job(call: Call) -> Reply:
    """Resume a job where its cadence would be; what passed becomes what the caller says."""
    asked = decode(call.body or EMPTY, JobResumeRequest)
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        job = locked.job
        if job.state == "paused":
            job = await _resume(conn, locked, asked.missed)
    if job is not locked.job:
        call.deps.on_event(EventName.JOB_RESUMED, job_id=job.id)
    if asked.missed != "skip":
        await release_queued(call, job.id)
    return _reply(job, locked)


async def _pause(conn: Connection, locked: LockedJob, reason: str | None) -> jobs.Job:
    """Put the timer to rest; the pause remembers up to where the ledger holds the occurrences."""
    recorded_ms = locked.now_ms - locked.plan.spread_ms
    if locked.timer.scheduled_for is not None:
        recorded_ms = min(recorded_ms, epoch_ms(locked.timer.scheduled_for) - 1)
    pause = jobs.Pause(
        reason=reason, since=locked.now, recorded_until=instant_at(max(recorded_ms, 0))
    )
    after = structs.replace(revised(locked, locked.job.definition), state="paused", pause=pause)
    return await write_change(conn, locked, after, moved(locked.plan, None, locked.runs_made))


async def _resume(conn: Connection, locked: LockedJob, missed: Missed) -> jobs.Job:
    """Write what passed to the ledger and put the timer to the next occurrence."""
    after_ms = await recorded_until(conn, locked)
    made = locked.runs_made
    passed = passed_while_paused(
        locked.plan,
        missed,
        after_ms=after_ms,
        now_ms=locked.now_ms,
        runs_made=made,
        busy=bool(await open_runs(conn, locked)),
    )
    made += sum(run.status != "skipped" for run in passed)
    following = arm(
        locked.plan,
        after_ms=max(after_ms, locked.now_ms - locked.plan.spread_ms),
        runs_made=made,
    )
    state: Literal["active", "completed"] = "completed" if following is None else "active"
    after = structs.replace(revised(locked, locked.job.definition), state=state, pause=None)
    scheduled_ms = None if following is None else following.scheduled_ms
    return await write_change(
        conn, locked, after, moved(planned(after), scheduled_ms, made, passed)
    )


def _reply(job: jobs.Job, locked: LockedJob) -> Reply:
    return Reply(body=job_view(job, now_ms=locked.now_ms), headers={"ETag": etag.of(job.revision)})


ROUTES = (
    Route(
        method="POST",
        path="/jobs/{id}/pause",
        handler=pause_job,
        operation_id="pause_job",
        summary="Pause a job",
        description="While a job is paused its cadence goes on; resume says what became of it.",
        tag="jobs",
        body=Body(
            type=JobPauseRequest,
            required=False,
            examples={"why": {"reason": "the target is being moved"}},
        ),
        answers={
            200: Answer(
                description="The job, paused.",
                type=Job,
                headers={"ETag": "The job's revision."},
            )
        },
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/jobs/{id}/resume",
        handler=resume_job,
        operation_id="resume_job",
        summary="Resume a job",
        description=(
            "`missed` says what becomes of the occurrences that passed: `skip` writes them to the"
            " ledger as one row, `once` sends the latest, `all` sends each of them, at most 1000."
        ),
        tag="jobs",
        body=Body(type=JobResumeRequest, required=False, examples={"catch up": {"missed": "once"}}),
        answers={
            200: Answer(
                description="The job, no longer paused.",
                type=Job,
                headers={"ETag": "The job's revision."},
            )
        },
        problems=(404,),
    ),
)
