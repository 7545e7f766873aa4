"""POST /runs/{id}/replay: send an ended run once more, as a run of its own.

It keeps `scheduled_for` and what a trigger had overridden, and goes where its job points now. It is
asked for by someone who looked at the run, so the overlap policy does not hold it back.
"""

from scheduler_svc.api import audit, tracing
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.holds import refuse_held
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.run_get import find_run
from scheduler_svc.api.run_quota import count_runs
from scheduler_svc.api.wire_runs import Run, run_view
from scheduler_svc.domain import runs
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.ids import RANDOM_BYTES, epoch_ms, random_run_id
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.runs import UNFINISHED, Overrides
from scheduler_svc.store import jobs, notices
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.runs import ExtraRun, insert_run
from scheduler_svc.store.runs import get_run as read_run


async def replay_run(call: Call) -> Reply:
    """Make a run that repeats an ended one, due now."""
    async with writing(call) as conn:
        original, overrides = await find_run(conn, call)
        if original.status in UNFINISHED:
            raise Conflict(f"The run has not ended yet: it is {original.status}.")
        await refuse_held(conn, call)
        await jobs.lock_timer(conn, original.job_id)
        job = await jobs.get_job(conn, call.namespace, original.job_id)
        if job is None and original.trigger != "alert":
            raise Conflict("The job of this run was deleted: there is nowhere to send it.")
        if original.trigger != "alert":
            await count_runs(conn, call, (await rules_of(conn, call)).quotas)
        run = await _insert(conn, call, job, original, overrides)
        await audit.note(
            conn,
            call,
            Action.RUN_REPLAYED,
            audit.part_of_job("run", original.id, run.job_id),
            after={"run": run.id},
        )
        reply = Reply(status=202, body=run_view(run), headers={"Location": f"/runs/{run.id}"})
        return await keep(conn, call, reply)


async def _insert(
    conn: Connection, call: Call, job: Job | None, original: runs.Run, overrides: Overrides | None
) -> runs.Run:
    now_ms, scheduled_ms = call.deps.now_ms(), epoch_ms(original.scheduled_for)
    extra = ExtraRun(
        id=random_run_id(scheduled_ms, call.deps.random_bytes(RANDOM_BYTES)),
        scheduled_ms=scheduled_ms,
        job_id=original.job_id,
        job_name=original.job_name if job is None else job.definition.name,
        namespace=original.namespace,
        # An alert has all that it needs with it, and stays what it is.
        trigger="alert" if original.trigger == "alert" else "replay",
        priority=0 if job is None else job.definition.priority,
        due_ms=now_ms,
        replay_of=original.id,
        overrides=tracing.asked_by(call, overrides),
    )
    await insert_run(conn, extra)
    tracing.asked_for(call, extra.id)
    await notices.wake(conn, now_ms)
    found = await read_run(conn, original.namespace, extra.id)
    if found is None:
        raise RuntimeError("a run that was just written is not there")
    return found[0]


ROUTES = (
    Route(
        method="POST",
        path="/runs/{id}/replay",
        handler=replay_run,
        operation_id="replay_run",
        summary="Send an ended run once more",
        description=(
            "A run of its own with the `scheduled_for` of the original, sent to where the job"
            " points now, whatever its overlap policy. 409 where the run has not ended, or its job"
            " was deleted."
        ),
        tag="runs",
        answers={
            202: Answer(
                description="The new run, due now.",
                type=Run,
                headers={"Location": "The run's path."},
            )
        },
        problems=(404, 409),
    ),
)
