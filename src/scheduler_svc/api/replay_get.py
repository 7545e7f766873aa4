"""GET /replays/{id}: one replay by filter and how far it is."""

from uuid import UUID

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_replays import Replay, replay_view
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.ids import looks_like_id
from scheduler_svc.store import replays
from scheduler_svc.store.pool import connection


async def get_replay(call: Call) -> Reply:
    """Return a replay."""
    async with connection(call.deps.pool) as conn:
        found = await replays.get_replay(conn, call.namespace, path_id(call))
    if found is None:
        raise no_replay(call)
    return Reply(body=replay_view(found))


def path_id(call: Call) -> UUID:
    """Read the id in the path; raise NotFound where it is none."""
    if not looks_like_id(call.path["id"]):
        raise no_replay(call)
    return UUID(call.path["id"])


def no_replay(call: Call) -> NotFound:
    """Say that there is no such replay."""
    return NotFound(f"There is no replay '{call.path['id'][:128]}'.")


ROUTES = (
    Route(
        method="GET",
        path="/replays/{id}",
        handler=get_replay,
        operation_id="get_replay",
        summary="Read a replay",
        tag="replays",
        answers={200: Answer(description="The replay and its progress.", type=Replay)},
        problems=(404,),
    ),
)
