"""PUT and DELETE /concurrency-keys/{key}: give a key limits, change them, take them away.

Replicas are told by notice, and read the limits again every few seconds all the same.
"""

from scheduler_svc.api import audit
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.key_get import EXAMPLE, no_key, path_key, view
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_concurrency import ConcurrencyKey, KeyLimits
from scheduler_svc.domain.errors import Conflict, Fault, Invalid
from scheduler_svc.domain.pressure import Ceiling, Key, key_fault
from scheduler_svc.store import notices
from scheduler_svc.store.keys import configured_keys, delete_key, put_key
from scheduler_svc.store.pool import transaction
from scheduler_svc.store.pressure import STATES_MAX, read_keys

READ_ONLY = frozenset({"key", "configured", "running", "waiting", "breaker"})


async def put_limits(call: Call) -> Reply:
    """Create or replace the limits of a key."""
    name = call.path["key"]
    if (fault := key_fault(name)) is not None:
        raise Invalid([Fault("", fault, parameter="key")])
    key = Key(call.namespace, name)
    asked = decode(call.body, KeyLimits, read_only=READ_ONLY)
    rate = asked.max_per_second
    if rate is not None and rate > 1 and not rate.is_integer():
        detail = (
            f"must be a whole number above 1, for a second holds whole calls; write {int(rate)}"
        )
        raise Invalid([Fault("/max_per_second", detail)])
    async with transaction(call.deps.pool) as conn:
        before = (await read_keys(conn, [key])).get(key)
        known = before is not None and before.configured
        if not known and await configured_keys(conn) >= STATES_MAX:
            raise Conflict(f"There are {STATES_MAX} keys with limits; delete one first.")
        await put_key(conn, key, Ceiling(asked.max_parallel, asked.max_per_second))
        await notices.keys(conn)
        shown = await view(conn, key)
        await audit.note_limits(conn, call, key, before, asked)
    return Reply(status=200 if known else 201, body=shown)


async def delete_limits(call: Call) -> Reply:
    """Take the limits of a key away: what waits because of them may go."""
    key = path_key(call)
    async with transaction(call.deps.pool) as conn:
        before = (await read_keys(conn, [key])).get(key)
        if not await delete_key(conn, key):
            raise no_key(key.name)
        await notices.keys(conn)
        await audit.note_limits(conn, call, key, before, None)
    return Reply(status=204)


ROUTES = (
    Route(
        method="PUT",
        path="/concurrency-keys/{key}",
        handler=put_limits,
        operation_id="put_concurrency_key",
        summary="Limit a concurrency key",
        description=(
            "For all jobs of the namespace whose `target.concurrency_key`, or else whose host, it"
            " is; over all replicas. With both limits null it has none, whatever the settings say."
        ),
        tag="concurrency keys",
        body=Body(type=KeyLimits, examples={"both": {"max_parallel": 4, "max_per_second": 10}}),
        answers={
            200: Answer(description="Replaced.", type=ConcurrencyKey, example=EXAMPLE),
            201: Answer(description="Made.", type=ConcurrencyKey),
        },
        problems=(409,),
    ),
    Route(
        method="DELETE",
        path="/concurrency-keys/{key}",
        handler=delete_limits,
        operation_id="delete_concurrency_key",
        summary="Take the limits of a concurrency key away",
        description="Those that the settings give hold again. A breaker that is open stays open.",
        tag="concurrency keys",
        answers={204: Answer(description="Gone; what waited because of them may go.")},
        problems=(404,),
    ),
)
