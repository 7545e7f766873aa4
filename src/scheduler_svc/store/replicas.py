"""Replicas: one heartbeat row each renews the lease on all they hold; the dead are rescued."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

Role = Literal["all", "api", "engine"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who a replica is, for as long as its process lives."""

    id: UUID
    host: str
    pid: int
    version: str
    tzdata: str
    role: Role
    slots: int


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """One heartbeat."""

    started_at: datetime
    now_ms: int
    lease_until_ms: int
    running: int
    clock_offset_ms: float


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as the API shows it."""

    id: UUID
    host: str
    pid: int
    version: str
    role: Role
    started_at: datetime
    heartbeat_at: datetime
    running: int
    slots: int
    clock_offset_ms: float


class Rescued(msgspec.Struct, frozen=True):
    """A run taken from a dead replica, and what became of it."""

    id: UUID
    job_id: UUID
    status: str
    scheduled_for: datetime
    reason: str | None = None
    trigger: str = "schedule"
    attempt: int = 1


async def database_now(conn: Connection) -> datetime:
    """Ask the one clock that decides."""
    now: datetime = await conn.fetchval(statement("database_now"))
    return now


async def heartbeat(conn: Connection, who: Identity, beat: Beat) -> None:
    """Renew this replica's lease on all it holds."""
    await conn.execute(
        statement("heartbeat"),
        who.id,
        who.host,
        who.pid,
        who.version,
        who.tzdata,
        who.role,
        beat.started_at,
        instant_at(beat.now_ms),
        instant_at(beat.lease_until_ms),
        beat.running,
        who.slots,
        beat.clock_offset_ms,
    )


async def rescue(conn: Connection, *, now_ms: int, batch: int) -> list[Rescued]:
    """Return runs of dead replicas to `due`, at most a batch; the attempt is kept as lost."""
    rows = await conn.fetch(statement("rescue_runs"), instant_at(now_ms), batch)
    return [Rescued(*row) for row in rows]


async def cancel_wanted(
    conn: Connection, replica: UUID, held: Sequence[tuple[UUID, int]]
) -> list[UUID]:
    """Return which of the runs that this replica holds someone asked to cancel: pairs of an id and
    the nominal time.
    """
    rows = await conn.fetch(
        statement("cancel_wanted"),
        replica,
        [run_id for run_id, _ in held],
        [instant_at(at) for _, at in held],
    )
    return [row[0] for row in rows]


async def end_lease(conn: Connection, replica: UUID, *, now_ms: int) -> None:
    """Give this replica's lease back before its time."""
    await conn.execute(statement("end_lease"), replica, instant_at(now_ms))


async def leave(conn: Connection, replica: UUID) -> None:
    """Take a replica that holds nothing off the list."""
    await conn.execute(statement("leave"), replica)


async def prune_replicas(conn: Connection, *, before_ms: int) -> None:
    """Forget replicas long dead and rescued."""
    await conn.execute(statement("prune_replicas"), instant_at(before_ms))


async def list_replicas(conn: Connection, *, now_ms: int) -> list[Replica]:
    """Return the replicas whose lease holds, oldest first."""
    rows = await conn.fetch(statement("list_replicas"), instant_at(now_ms))
    return [Replica(**row) for row in rows]
