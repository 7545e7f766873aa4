"""Looking past a crowd of timers; see engine/crowds.py."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.timers import Mark


class Seen(msgspec.Struct, frozen=True):
    """What was read past: how many timers, the last of them, and the jobs of others among them."""

    read: int
    last: Mark
    others: list[UUID]


async def has_others(conn: Connection, namespaces: int) -> bool:
    """Tell whether more namespaces than so many have jobs."""
    found: bool = await conn.fetchval(statement("has_others"), namespaces)
    return found


async def look_past(
    conn: Connection, after: Mark, *, horizon_ms: int, at_most: int, namespaces: Collection[str]
) -> Seen:
    """Read on from a mark, past the timers of these namespaces."""
    row = await conn.fetchrow(
        statement("look_past"),
        instant_at(after.fire_ms),
        after.job_id,
        instant_at(horizon_ms),
        at_most,
        list(namespaces),
    )
    if row is None or not row["read"]:
        return Seen(0, after, [])
    return Seen(row["read"], Mark(epoch_ms(row["last_fire_at"]), row["last_job_id"]), row["others"])
