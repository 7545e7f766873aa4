"""History that goes by row, job by job: one typed function a statement."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.retention import Retention
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

RETENTION = msgspec.json.Decoder(Retention)
LAST_ID = UUID(int=(1 << 128) - 1)


class History(msgspec.Struct, frozen=True):
    """A job that has history, deleted or not, and what it asks to be kept of it."""

    job_id: UUID
    namespace: str
    asked: Retention | None


class Edge(msgspec.Struct, frozen=True):
    """The newest run that goes, by key."""

    at_ms: int
    id: UUID = LAST_ID


async def longest_asked(conn: Connection) -> int:
    """Return the greatest age that a job asks for, in milliseconds; 0 where none does."""
    rows = await conn.fetch(statement("asked_ages"))
    return max((milliseconds(row["age"]) for row in rows if row["age"] is not None), default=0)


async def is_any_asked(conn: Connection) -> bool:
    """True where a job keeps its history otherwise than all."""
    return bool(await conn.fetchval(statement("any_retention")))


async def histories(conn: Connection, *, after: UUID, at_most: int) -> list[History]:
    """Return the next jobs that have history, in the order of their ids."""
    rows = await conn.fetch(statement("histories"), after, at_most)
    return [
        History(
            row["job_id"],
            row["namespace"],
            None if row["retention"] is None else RETENTION.decode(row["retention"]),
        )
        for row in rows
    ]


async def edge_by_count(conn: Connection, job_id: UUID, count: int) -> Edge | None:
    """Return the newest ended run of a job behind so many; None where there are not so many."""
    row = await conn.fetchrow(statement("nth_newest"), job_id, count)
    return None if row is None else Edge(epoch_ms(row["scheduled_for"]), row["id"])


async def prune(
    conn: Connection, job_id: UUID, edge: Edge, *, ended_before_ms: int, batch: int
) -> int:
    """Delete a batch of what lies up to an edge, and note it; return how many rows went."""
    done: str = await conn.execute(
        statement("prune_runs"),
        job_id,
        instant_at(edge.at_ms),
        edge.id,
        instant_at(ended_before_ms),
        batch,
    )
    count = int(done.rsplit(" ", 1)[-1])
    if count:
        await conn.execute(statement("mark_pruned"), job_id, instant_at(edge.at_ms + 1))
    return count


async def pruned_before(conn: Connection, job_id: UUID) -> int:
    """Return the instant before which runs of a job were deleted by row; 0 where none were."""
    found = await conn.fetchval(statement("pruned_before"), job_id)
    return 0 if found is None else epoch_ms(found)


async def forget_marks(conn: Connection, *, before_ms: int, batch: int) -> None:
    """Forget a batch of marks that say nothing which the first day of history does not."""
    await conn.execute(statement("forget_marks"), instant_at(before_ms), batch)


async def replaying(conn: Connection) -> Sequence[str]:
    """Return the namespaces that have a running replay by filter."""
    return [row["namespace"] for row in await conn.fetch(statement("replaying_namespaces"))]


async def take_turn(conn: Connection, name: str, *, now_ms: int, until_ms: int) -> bool:
    """Take a duty for a while; False where another replica has it."""
    args = (name, instant_at(now_ms), instant_at(until_ms))
    return await conn.fetchrow(statement("take_turn"), *args) is not None
