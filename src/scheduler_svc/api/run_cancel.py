"""POST /runs/{id}/cancel: a waiting run ends at once, a running one is asked to.

One that awaits the report of its target waits: nobody works on it.
"""

from scheduler_svc.api import audit
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_open import release_queued
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.run_get import find_run
from scheduler_svc.api.wire_runs import Run, run_view
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.runs import Run as StoredRun
from scheduler_svc.store import notices
from scheduler_svc.store.pool import transaction
from scheduler_svc.store.runs import ask_cancel, cancel_waiting


async def cancel_run(call: Call) -> Reply:
    """Cancel a run; 200 says that it ended, 202 that its replica was asked to end it."""
    async with transaction(call.deps.pool) as conn:
        run, _ = await find_run(conn, call, lock=True)
        match run.status:
            case "running" | "due" if run.status == "due" or run.awaits:
                await cancel_waiting(conn, run.id, now_ms=call.deps.now_ms())
                status = 200
            case "running":
                await ask_cancel(conn, run.id)
                await notices.cancel(conn, run.id)
                status = 202
            case _:
                raise Conflict(f"The run has ended already: it is {run.status}.")
        after, _ = await find_run(conn, call)
        await audit.note(
            conn, call, Action.RUN_CANCELLED, audit.part_of_job("run", run.id, run.job_id)
        )
    if status == 200:  # noqa: PLR2004 - what waited behind it may go
        _tell(call, after)
        await release_queued(call, run.job_id)
    return Reply(status=status, body=run_view(after))


def _tell(call: Call, run: StoredRun) -> None:
    """Say that a run ended that no replica was at work on; where one is, that one says it."""
    call.deps.on_event(
        EventName.RUN_CANCELLED,
        run_id=run.id,
        job_id=run.job_id,
        attempt=run.attempt_count,
        outcome=None,
        status_code=None,
        reason=run.reason,
        duration_ms=None,
        lateness_ms=None,
        trigger=run.trigger,
    )


ROUTES = (
    Route(
        method="POST",
        path="/runs/{id}/cancel",
        handler=cancel_run,
        operation_id="cancel_run",
        summary="Cancel a run",
        tag="runs",
        idempotent=False,  # by itself: what was asked to end is asked again
        answers={
            200: Answer(
                description="The run waited, or awaited its report, and is cancelled.", type=Run
            ),
            202: Answer(description="The run is under way; its replica was asked.", type=Run),
        },
        problems=(404, 409),
    ),
)
