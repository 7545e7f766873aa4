"""POST /backfills/{id}/cancel: no more runs are made and those that wait end."""

from scheduler_svc.api import audit
from scheduler_svc.api.backfill_get import no_backfill, path_id
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_backfills import Backfill, backfill_view
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.events import EventName
from scheduler_svc.store import backfills
from scheduler_svc.store.pool import transaction


async def cancel_backfill(call: Call) -> Reply:
    """Cancel a backfill; raise Conflict where it has ended."""
    wanted = path_id(call)
    async with transaction(call.deps.pool) as conn:
        status = await backfills.lock_backfill(conn, call.namespace, wanted)
        if status is None:
            raise no_backfill(call)
        if status != "running":
            raise Conflict(f"The backfill has ended already: it is {status}.")
        await backfills.end_backfill(
            conn, wanted, status="cancelled", reason="cancelled", now_ms=call.deps.now_ms()
        )
        after = await backfills.get_backfill(conn, call.namespace, wanted)
        if after is None:
            raise RuntimeError("a backfill vanished under its lock")
        await audit.note(
            conn,
            call,
            Action.BACKFILL_CANCELLED,
            audit.part_of_job("backfill", after.id, after.job_id),
        )
    call.deps.on_event(
        EventName.BACKFILL_CANCELLED,
        backfill_id=after.id,
        job_id=after.job_id,
        reason=after.reason,
        error=None,
    )
    return Reply(body=backfill_view(after))


ROUTES = (
    Route(
        method="POST",
        path="/backfills/{id}/cancel",
        handler=cancel_backfill,
        operation_id="cancel_backfill",
        summary="Cancel a backfill",
        description=(
            "No more runs are made and those that wait, for a retry too, are cancelled. A run that"
            " some replica works on goes on; `POST /runs/{id}/cancel` ends it."
        ),
        tag="backfills",
        answers={200: Answer(description="The backfill, cancelled.", type=Backfill)},
        problems=(404, 409),
    ),
)
