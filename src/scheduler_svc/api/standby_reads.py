"""Which database a request is answered from: what only reads may go to a standby.

Promises the same answer either way: a standby is read once it shows all that was written before the
request came, and where it fails in the middle the primary answers in its place.
"""

from collections.abc import Awaitable

from msgspec import structs

from scheduler_svc.api import idempotency
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Route
from scheduler_svc.store.standby import Standby


def answered(route: Route, call: Call) -> Awaitable[Reply]:
    """Answer a request, from the standby where it may be and can be."""
    standby = call.deps.standby if route.standby else None
    return idempotency.answered(route, call) if standby is None else _read(route, call, standby)


async def _read(route: Route, call: Call, standby: Standby) -> Reply:
    if (pool := await standby.caught_up()) is not None:
        deps = structs.replace(call.deps, pool=pool)
        try:
            return await route.handler(structs.replace(call, deps=deps))
        except Exception as error:
            if not standby.failed(error):
                raise
    return await idempotency.answered(route, call)
