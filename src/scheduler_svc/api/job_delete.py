"""DELETE /jobs/{id}: the job goes, what waits of it ends, its history stays until it is pruned."""

from scheduler_svc.api import audit, etag, handover
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_change import lock_job
from scheduler_svc.api.route import IF_MATCH, Answer, Route
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.events import EventName
from scheduler_svc.store import jobs, notices
from scheduler_svc.store.backfills import cancel_backfills_of
from scheduler_svc.store.pool import transaction


async def delete_job(call: Call) -> Reply:
    """Delete a job; a run that is under way ends as it will."""
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        etag.check(call.headers, etag.of(locked.job.revision))
        await cancel_backfills_of(conn, [locked.job.id], reason="job_deleted", now_ms=locked.now_ms)
        await jobs.forget_unsent(conn, locked.job.id, now_ms=locked.now_ms)
        await jobs.delete_job(conn, locked.job.id, now_ms=locked.now_ms)
        await notices.edited(conn, locked.job.id, timer_moved=True)
        await audit.note_job(conn, call, Action.JOB_DELETED, locked.job, None)
    call.deps.on_event(EventName.JOB_DELETED, job_id=locked.job.id, namespace=call.namespace)
    await handover.given_up(call, locked.job.id)
    return Reply(status=204)


ROUTES = (
    Route(
        method="DELETE",
        path="/jobs/{id}",
        handler=delete_job,
        operation_id="delete_job",
        summary="Delete a job",
        description="Its history stays until it is pruned: `GET /runs?job_id=` has it.",
        tag="jobs",
        headers=(IF_MATCH,),
        answers={204: Answer(description="The job is gone.")},
        problems=(404, 412),
    ),
)
