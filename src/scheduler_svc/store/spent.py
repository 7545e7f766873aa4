"""Jobs that are to be deleted after their completion, once none of their runs is unfinished."""

from typing import NamedTuple
from uuid import UUID

from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class Spent(NamedTuple):
    """A job that was deleted, and whose it was."""

    job_id: UUID
    namespace: str


async def delete_spent(conn: Connection, *, batch: int) -> list[Spent]:
    """Delete a batch of them; return which. Their history stays until it is pruned."""
    rows = await conn.fetch(statement("lock_spent_jobs"), batch)
    if not rows:
        return []
    deleted = await conn.fetch(statement("delete_spent_jobs"), [row[0] for row in rows])
    return [Spent(*row) for row in deleted]
