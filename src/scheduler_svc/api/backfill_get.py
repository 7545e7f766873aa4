"""GET /backfills/{id}: one backfill and how far it is."""

from uuid import UUID

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_backfills import Backfill, backfill_view
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.ids import looks_like_id
from scheduler_svc.store import backfills
from scheduler_svc.store.pool import connection


async def get_backfill(call: Call) -> Reply:
    """Return a backfill."""
    async with connection(call.deps.pool) as conn:
        found = await backfills.get_backfill(conn, call.namespace, path_id(call))
    if found is None:
        raise no_backfill(call)
    return Reply(body=backfill_view(found))


def path_id(call: Call) -> UUID:
    """Read the id in the path; raise NotFound where it is none."""
    if not looks_like_id(call.path["id"]):
        raise no_backfill(call)
    return UUID(call.path["id"])


def no_backfill(call: Call) -> NotFound:
    """Say that there is no such backfill."""
    return NotFound(f"There is no backfill '{call.path['id'][:128]}'.")


ROUTES = (
    Route(
        method="GET",
        path="/backfills/{id}",
        handler=get_backfill,
        operation_id="get_backfill",
        summary="Read a backfill",
        tag="backfills",
        answers={200: Answer(description="The backfill and its progress.", type=Backfill)},
        problems=(404,),
    ),
)
