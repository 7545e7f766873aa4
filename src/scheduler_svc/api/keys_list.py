"""GET /concurrency-keys: keys with limits, an open breaker or waiting runs, page by page."""

from typing import Any

from scheduler_svc.api import cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_concurrency import ConcurrencyKeyList, key_view
from scheduler_svc.store.keys import counts_of, list_keys
from scheduler_svc.store.pool import connection


async def list_all(call: Call) -> Reply:
    """List keys by name."""
    binding: list[Any] = ["concurrency_keys", call.namespace]
    given = call.query["cursor"]
    after = "" if given is None else cursor.read(given, binding, str)
    at_most = call.query["limit"]
    async with connection(call.deps.pool) as conn:
        found = await list_keys(conn, call.namespace, after=after, at_most=at_most + 1)
        page = found[:at_most]
        counts = await counts_of(conn, call.namespace, [state.key.name for state in page])
    more = len(found) > len(page)
    following = cursor.write(page[-1].key.name, binding) if more else None
    return Reply(
        body=ConcurrencyKeyList(
            items=[key_view(state, counts[state.key.name]) for state in page],
            next_cursor=following,
        ),
        headers=next_link(call, following),
    )


ROUTES = (
    Route(
        method="GET",
        path="/concurrency-keys",
        handler=list_all,
        operation_id="list_concurrency_keys",
        summary="List concurrency keys",
        description="Those with limits of their own, an open breaker or runs that wait.",
        tag="concurrency keys",
        params=(LIMIT, CURSOR),
        answers={
            200: Answer(
                description="A page of keys, by name.",
                type=ConcurrencyKeyList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
)
