"""GET /backfills: the backfills of all jobs or of one, newest first, page by page."""

from typing import Any
from uuid import UUID

from scheduler_svc.api import cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire_backfills import BackfillList, backfill_view
from scheduler_svc.domain.backfills import BackfillStatus
from scheduler_svc.store.backfills import (
    BackfillFilter,
    BackfillPlace,
    backfill_place,
    list_backfills,
)
from scheduler_svc.store.pool import connection


async def list_all(call: Call) -> Reply:
    """List backfills, also of jobs that were deleted."""
    query = call.query
    wanted = BackfillFilter(
        namespace=call.namespace, job_id=query["job_id"], status=query["status"]
    )
    binding: list[Any] = ["backfills", wanted]
    given = query["cursor"]
    after = None if given is None else cursor.read(given, binding, BackfillPlace)
    async with connection(call.deps.pool) as conn:
        found = await list_backfills(conn, wanted, after=after, at_most=query["limit"] + 1)
    page = found[: query["limit"]]
    more = len(found) > len(page)
    following = cursor.write(backfill_place(page[-1]), binding) if more else None
    return Reply(
        body=BackfillList(items=[backfill_view(one) for one in page], next_cursor=following),
        headers=next_link(call, following),
    )


ROUTES = (
    Route(
        method="GET",
        standby=True,
        path="/backfills",
        handler=list_all,
        operation_id="list_backfills",
        summary="List backfills",
        description="Also of jobs that were deleted; kept as long as history is.",
        tag="backfills",
        params=(
            LIMIT,
            CURSOR,
            QueryParam(
                name="job_id", type=UUID, description="Only backfills of this job, by its id."
            ),
            QueryParam(
                name="status", type=BackfillStatus, description="Only backfills of this status."
            ),
        ),
        answers={
            200: Answer(
                description="A page of backfills, newest first.",
                type=BackfillList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
)
