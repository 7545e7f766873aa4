"""GET /replays: the replays by filter, newest first, page by page."""

from typing import Any

from scheduler_svc.api import cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire_replays import ReplayList, replay_view
from scheduler_svc.domain.replays import ReplayStatus
from scheduler_svc.store.pool import connection
from scheduler_svc.store.replays import ReplayPlace, list_replays, replay_place


async def list_all(call: Call) -> Reply:
    """List replays."""
    query = call.query
    binding: list[Any] = ["replays", call.namespace, query["status"]]
    given = query["cursor"]
    after = None if given is None else cursor.read(given, binding, ReplayPlace)
    async with connection(call.deps.pool) as conn:
        found = await list_replays(
            conn,
            call.namespace,
            status=query["status"],
            after=after,
            at_most=query["limit"] + 1,
        )
    page = found[: query["limit"]]
    more = len(found) > len(page)
    following = cursor.write(replay_place(page[-1]), binding) if more else None
    return Reply(
        body=ReplayList(items=[replay_view(one) for one in page], next_cursor=following),
        headers=next_link(call, following),
    )


ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/replays",
        handler=list_all,
        operation_id="list_replays",
        summary="List replays",
        description="Kept as long as history is.",
        tag="replays",
        params=(
            LIMIT,
            CURSOR,
            QueryParam(
                name="status", type=ReplayStatus, description="Only replays of this status."
            ),
        ),
        answers={
            200: Answer(
                description="A page of replays, newest first.",
                type=ReplayList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
)
