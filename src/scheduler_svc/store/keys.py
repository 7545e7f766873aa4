"""Concurrency keys as the API reads and changes them; the engine's side is in pressure."""

from collections.abc import Sequence

import msgspec

from scheduler_svc.domain.pressure import Ceiling, Key, KeyState
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.pressure import state_of
from scheduler_svc.store.queries import statement


class KeyCounts(msgspec.Struct, frozen=True):
    """What runs and what waits under a key."""

    running: int = 0
    waiting: int = 0


async def put_key(conn: Connection, key: Key, ceiling: Ceiling) -> None:
    """Give a key limits, or others."""
    await conn.execute(
        statement("put_key"),
        key.namespace,
        key.name,
        ceiling.max_parallel,
        ceiling.max_per_second,
    )


async def delete_key(conn: Connection, key: Key) -> bool:
    """Take the limits of a key away; False where it has none."""
    return bool(await conn.fetch(statement("delete_key"), key.namespace, key.name))


async def configured_keys(conn: Connection) -> int:
    """Count the keys that were given limits."""
    count: int = await conn.fetchval(statement("count_keys"))
    return count


async def counts_of(conn: Connection, namespace: str, keys: Sequence[str]) -> dict[str, KeyCounts]:
    """Count what runs and what waits under keys."""
    rows = await conn.fetch(statement("key_counts"), namespace, keys)
    return {key: KeyCounts(running, waiting) for key, running, waiting in rows}


async def list_keys(
    conn: Connection, namespace: str, *, after: str, at_most: int
) -> list[KeyState]:
    """Return keys with limits, an open breaker or waiting runs, by name."""
    rows = await conn.fetch(statement("list_keys"), namespace, after, at_most)
    return [state_of(row) for row in rows]
