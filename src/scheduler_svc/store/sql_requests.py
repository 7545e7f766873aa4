"""What was asked for in SQL, in the transaction of an application, and has been committed.

Promises that one replica at a time carries it out, in order, and that a request goes in the
transaction of what it came to. Judges nothing.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.ids import epoch_ms, instant_at, scheduled_ms_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

LOCK = int.from_bytes(sha256(b"sql requests").digest()[:8], signed=True)


class SqlRequest(Struct, frozen=True, kw_only=True):
    """One call of a function; `document` is the definition, or what a trigger overrides."""

    id: int
    verb: Literal["create", "trigger", "cancel"]
    namespace: str
    job_id: UUID
    job_name: str | None
    run_id: UUID | None
    asked_at: datetime
    role: str
    address: str | None
    document: str

    @property
    def asked_ms(self) -> int:
        """Return when the function was called."""
        return epoch_ms(self.asked_at)


async def is_any(conn: Connection) -> bool:
    """Tell whether anything waits."""
    waits: bool = await conn.fetchval(statement("any_sql_request"))
    return waits


async def backlog(conn: Connection, *, at_most: int) -> tuple[int, datetime | None]:
    """Count what waits, up to a bound, and tell since when the oldest of that does."""
    row = await conn.fetchrow(statement("backlog_of_sql_requests"), at_most)
    return (0, None) if row is None else (row["waiting"], row["since"])


async def try_lock(conn: Connection) -> bool:
    """Be the one who carries out, until the transaction ends; False where another replica is."""
    held: bool = await conn.fetchval(statement("lock_sql_requests"), LOCK)
    return held


async def oldest(
    conn: Connection, *, batch: int, besides: Collection[UUID] = ()
) -> list[SqlRequest]:
    """Read what comes next, but for what is about some jobs."""
    rows = await conn.fetch(statement("oldest_sql_requests"), batch, list(besides))
    return [SqlRequest(**dict(row)) for row in rows]


async def wait_briefly(conn: Connection) -> None:
    """Wait for no lock for long, until the transaction ends: there are others to carry out."""
    await conn.execute(statement("wait_briefly"))


async def delete(conn: Connection, done: Sequence[SqlRequest]) -> None:
    """Forget what was carried out."""
    await conn.execute(statement("delete_sql_requests"), [one.id for one in done])


async def insert_unsent(
    conn: Connection, asked: SqlRequest, *, name: str | None, reason: str, now_ms: int
) -> None:
    """Write the run of a trigger that came to nothing."""
    if asked.run_id is None:
        raise ValueError("only a trigger has a run")
    await conn.execute(
        statement("insert_unsent_run"),
        asked.run_id,
        instant_at(scheduled_ms_of(asked.run_id)),
        asked.job_id,
        name,
        asked.namespace,
        "cancelled" if reason == "job_deleted" else "skipped",
        reason,
        instant_at(now_ms),
    )
