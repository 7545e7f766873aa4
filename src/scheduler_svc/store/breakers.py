"""The transitions of breakers, each one statement that only one replica's try can match."""

from uuid import UUID

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import Key
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


async def open_breaker(
    conn: Connection, key: Key, *, failures: int, now_ms: int, retry_ms: int
) -> bool:
    """Open a closed breaker; False where it is open already."""
    rows = await conn.fetch(
        statement("open_breaker"),
        key.namespace,
        key.name,
        failures,
        instant_at(now_ms),
        instant_at(retry_ms),
    )
    return bool(rows)


async def start_probe(conn: Connection, key: Key, run_id: UUID, *, lost_ms: int) -> bool:
    """Let one call through, under the lock of the key's row."""
    rows = await conn.fetch(
        statement("start_probe"), key.namespace, key.name, run_id, instant_at(lost_ms)
    )
    return bool(rows)


async def probe_failed(
    conn: Connection, key: Key, run_id: UUID, *, retry_ms: int, counted: bool
) -> bool:
    """Keep the breaker open until an instant; False where this was not its probe any more."""
    rows = await conn.fetch(
        statement("probe_failed"),
        key.namespace,
        key.name,
        run_id,
        instant_at(retry_ms),
        int(counted),
    )
    return bool(rows)


async def close_breaker(conn: Connection, key: Key, run_id: UUID) -> bool:
    """Close a breaker by its probe; False where this was not its probe any more."""
    rows = await conn.fetch(statement("close_breaker"), key.namespace, key.name, run_id)
    return bool(rows)
