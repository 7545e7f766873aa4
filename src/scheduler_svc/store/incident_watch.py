"""Looks at jobs of which something may have failed to start: one typed function a statement."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.domain.incidents import Memory
from scheduler_svc.store.incidents import memory_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class Standing(msgspec.Struct, frozen=True):
    """Whether a job is active, and which of its occurrences nobody has claimed."""

    active: bool
    pending_ms: int | None


async def lock_watched(conn: Connection, *, now_ms: int, batch: int) -> dict[UUID, Memory]:
    """Lock the memories of jobs at which to look now."""
    rows = await conn.fetch(statement("lock_watched"), instant_at(now_ms), batch)
    return {row["job_id"]: memory_of(row) for row in rows}


async def standings(conn: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Read where the timers of these jobs stand."""
    return {
        job_id: Standing(state == "active", None if at is None else epoch_ms(at))
        for job_id, state, at in await conn.fetch(statement("watched_timers"), job_ids)
    }


async def waiting(conn: Connection, occurrences: Mapping[UUID, int]) -> dict[UUID, bool]:
    """Tell of one occurrence of each job whether it waits still; nothing of one without a run."""
    if not occurrences:
        return {}
    rows = await conn.fetch(
        statement("occurrences_sent"),
        [run_id(job_id, at_ms) for job_id, at_ms in occurrences.items()],
        [instant_at(at_ms) for at_ms in occurrences.values()],
    )
    return dict(rows)


async def started_since(conn: Connection, job_id: UUID, at_ms: int) -> bool:
    """Tell whether any run of a job started at or after an instant."""
    found: bool = await conn.fetchval(statement("started_since"), job_id, instant_at(at_ms))
    return found
