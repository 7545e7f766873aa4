"""GET /concurrency-keys/{key}: its limits, its breaker, and what waits because of it."""

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.api.wire_concurrency import ConcurrencyKey, key_view
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.pressure import Key, KeyState, key_fault
from scheduler_svc.store.keys import KeyCounts, counts_of
from scheduler_svc.store.pool import Connection, connection
from scheduler_svc.store.pressure import read_keys

EXAMPLE = {
    "key": "api.example.com",
    "configured": True,
    "max_parallel": 4,
    "max_per_second": 10.0,
    "running": 4,
    "waiting": 37,
    "breaker": {"state": "closed", "failures": 0, "opened_at": None, "retry_at": None},
}


async def get_key(call: Call) -> Reply:
    """Return a key that has limits, an open breaker, or runs under it."""
    async with connection(call.deps.pool) as conn:
        return Reply(body=await view(conn, path_key(call)))


async def view(conn: Connection, key: Key) -> ConcurrencyKey:
    """Read a key as the answer shows it; raise NotFound where there is nothing to show."""
    state = (await read_keys(conn, [key])).get(key, KeyState(key=key))
    counts = (await counts_of(conn, key.namespace, [key.name])).get(key.name, KeyCounts())
    idle = counts == KeyCounts() and state.breaker.state == "closed"
    if idle and not state.configured:
        raise no_key(key.name)
    return key_view(state, counts)


def path_key(call: Call) -> Key:
    """Read the key in the path; raise NotFound where it can be none."""
    name = call.path["key"]
    if key_fault(name) is not None:
        raise no_key(name)
    return Key(call.namespace, name)


def no_key(name: str) -> NotFound:
    """Say that nothing is known of such a key."""
    return NotFound(
        f"The key '{name[:128]}' has no limits, its breaker is closed and nothing waits under it."
    )


ROUTES = (
    Route(
        method="GET",
        path="/concurrency-keys/{key}",
        handler=get_key,
        operation_id="get_concurrency_key",
        summary="Read a concurrency key",
        tag="concurrency keys",
        answers={
            200: Answer(
                description="Its limits, its breaker and its load.",
                type=ConcurrencyKey,
                example=EXAMPLE,
            )
        },
        problems=(404,),
    ),
)
