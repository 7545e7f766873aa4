"""POST /replays/{id}/cancel: no more runs are made and those that wait end."""

from scheduler_svc.api import audit
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.replay_get import no_replay, path_id
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_replays import Replay, replay_view
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Conflict
from scheduler_svc.domain.events import EventName
from scheduler_svc.store import replays
from scheduler_svc.store.pool import transaction


async def cancel_replay(call: Call) -> Reply:
    """Cancel a replay; raise Conflict where it has ended."""
    wanted = path_id(call)
    async with transaction(call.deps.pool) as conn:
        status = await replays.lock_replay(conn, call.namespace, wanted)
        if status is None:
            raise no_replay(call)
        if status != "running":
            raise Conflict(f"The replay has ended already: it is {status}.")
        await replays.end_replay(
            conn, wanted, status="cancelled", reason="cancelled", now_ms=call.deps.now_ms()
        )
        await audit.note(
            conn, call, Action.REPLAY_CANCELLED, audit.part_of_job("replay", wanted, None)
        )
        after = await replays.get_replay(conn, call.namespace, wanted)
    if after is None:
        raise RuntimeError("a replay vanished under its lock")
    call.deps.on_event(EventName.REPLAY_CANCELLED, replay_id=after.id, reason=after.reason)
    return Reply(body=replay_view(after))


ROUTES = (
    Route(
        method="POST",
        path="/replays/{id}/cancel",
        handler=cancel_replay,
        operation_id="cancel_replay",
        summary="Cancel a replay",
        description="A run that some replica works on ends as it will.",
        tag="replays",
        answers={200: Answer(description="The replay, cancelled.", type=Replay)},
        problems=(404, 409),
    ),
)
