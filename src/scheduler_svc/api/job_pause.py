"""Pause and resume: the cadence goes on underneath, and what passed is accounted for at resume.

Both are idempotent: a paused job keeps its first reason, one that is not paused stays as it is.
A pause with `until` is ended by the engine, at that instant; asked for again it may be moved.
"""

from datetime import datetime
from typing import Literal

from msgspec import structs

from scheduler_svc.api import audit, etag, handover, unsigned
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_change import (
    LockedJob,
    at_rest,
    lock_job,
    moved,
    revised,
    write_change,
)
from scheduler_svc.api.job_edit import pending, recorded_until
from scheduler_svc.api.job_open import open_runs, release_queued
from scheduler_svc.api.job_view import job_view, planned
from scheduler_svc.api.route import IF_MATCH, Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_jobs import Job, JobPauseRequest, JobResumeRequest, JobWarning
from scheduler_svc.domain import jobs
from scheduler_svc.domain.arming import Missed, resume
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.decide import Decision
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection, transaction

EMPTY = b"{}"


async def pause_job(call: Call) -> Reply:
    """Pause a job: nothing of it is sent any more, bar what has left already."""
    asked = decode(call.body or EMPTY, JobPauseRequest)
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        etag.check(call.headers, etag.of(locked.job.revision))
        until = _coming(asked.until, locked.now)
        job, changed = locked.job, locked.job.state != "paused"
        if changed:
            job = await _pause(conn, locked, asked.reason, until, call.caller.name)
        elif until is not None:
            job = await _end_at(conn, locked, until)
        await audit.note_job(conn, call, Action.JOB_PAUSED, locked.job, job)
        also = await unsigned.of_job(conn, call, job)
    if changed:
        call.deps.on_event(
            EventName.JOB_PAUSED, job_id=job.id, namespace=call.namespace, reason=asked.reason
        )
        await handover.given_up(call, job.id)
    return _reply(job, locked, also)


async def resume_job(call: Call) -> Reply:
    """Resume a job where its cadence would be; what passed becomes what the caller says."""
    asked = decode(call.body or EMPTY, JobResumeRequest)
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        etag.check(call.headers, etag.of(locked.job.revision))
        job = locked.job
        if job.state == "paused":
            job = await _resume(conn, locked, asked.missed)
        await audit.note_job(conn, call, Action.JOB_RESUMED, locked.job, job)
        also = await unsigned.of_job(conn, call, job)
    if job is not locked.job:
        call.deps.on_event(EventName.JOB_RESUMED, job_id=job.id, namespace=call.namespace)
    if asked.missed != "skip":
        await release_queued(call, job.id)
    return _reply(job, locked, also)


def _coming(until: datetime | None, now: datetime) -> datetime | None:
    """Cut an instant to milliseconds; raise Invalid where it is not to come."""
    if until is None:
        return None
    if until <= now:
        raise Invalid([Fault("/until", "is not in the future")])
    return instant_at(epoch_ms(until))


async def _pause(
    conn: Connection,
    locked: LockedJob,
    reason: str | None,
    until: datetime | None,
    by: str | None,
) -> jobs.Job:
    return await write_change(conn, locked, *paused(locked, reason, until, by))


def paused(
    locked: LockedJob, reason: str | None, until: datetime | None, by: str | None
) -> tuple[jobs.Job, Decision]:
    """Put the timer to rest; the pause remembers up to where the ledger holds the occurrences."""
    next_ms = pending(locked)
    recorded_ms = locked.now_ms if next_ms is None else min(locked.now_ms, next_ms - 1)
    pause = jobs.Pause(
        reason=reason,
        since=locked.now,
        until=until,
        by=by,
        recorded_until=instant_at(recorded_ms),
    )
    after = structs.replace(revised(locked, locked.job.definition), state="paused", pause=pause)
    return after, at_rest(after, locked.runs_made)


async def _end_at(conn: Connection, locked: LockedJob, until: datetime) -> jobs.Job:
    """Let a pause end at an instant, or at another one than before."""
    pause = locked.job.pause
    if pause is None or pause.until == until:
        return locked.job
    after = structs.replace(
        revised(locked, locked.job.definition), pause=structs.replace(pause, until=until)
    )
    return await write_change(conn, locked, after, at_rest(after, locked.runs_made))


async def _resume(conn: Connection, locked: LockedJob, missed: Missed) -> jobs.Job:
    after_ms = await recorded_until(conn, locked)
    busy = bool(await open_runs(conn, locked))
    return await write_change(conn, locked, *resumed(locked, missed, after_ms=after_ms, busy=busy))


def resumed(
    locked: LockedJob, missed: Missed, *, after_ms: int, busy: bool
) -> tuple[jobs.Job, Decision]:
    """Write what passed to the ledger and put the timer to the next occurrence."""
    ended = resume(
        locked.plan,
        missed,
        after_ms=after_ms,
        now_ms=locked.now_ms,
        runs_made=locked.runs_made,
        busy=busy,
    )
    following = ended.following
    state: Literal["active", "completed"] = "completed" if following is None else "active"
    after = structs.replace(revised(locked, locked.job.definition), state=state, pause=None)
    scheduled_ms = None if following is None else following.scheduled_ms
    return after, moved(planned(after), scheduled_ms, ended.runs_made, ended.runs)


def _reply(job: jobs.Job, locked: LockedJob, also: list[JobWarning]) -> Reply:
    return Reply(
        body=job_view(job, now_ms=locked.now_ms, also=also),
        headers={"ETag": etag.of(job.revision)},
    )


ROUTES = (
    Route(
        method="POST",
        path="/jobs/{id}/pause",
        handler=pause_job,
        operation_id="pause_job",
        summary="Pause a job",
        description=(
            "While a job is paused its cadence goes on; resume says what became of it."
            " With `until` the job resumes by itself at that instant, and what passed is skipped."
        ),
        tag="jobs",
        headers=(IF_MATCH,),
        body=Body(
            type=JobPauseRequest,
            required=False,
            examples={
                "why": {"reason": "the target is being moved"},
                "until": {"reason": "stocktaking", "until": "2030-01-02T06:00:00+01:00"},
            },
        ),
        answers={
            200: Answer(
                description="The job, paused.",
                type=Job,
                headers={"ETag": "The job's revision."},
            )
        },
        problems=(404, 412),
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
        headers=(IF_MATCH,),
        body=Body(type=JobResumeRequest, required=False, examples={"catch up": {"missed": "once"}}),
        answers={
            200: Answer(
                description="The job, no longer paused.",
                type=Job,
                headers={"ETag": "The job's revision."},
            )
        },
        problems=(404, 412),
    ),
)
