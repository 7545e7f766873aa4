"""Counting what a namespace has, for its quotas: never kept, so never wrong after a crash."""

from hashlib import sha256

from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


async def lock_creates(conn: Connection, namespace: str) -> None:
    """Hold off other creates of a namespace with a quota until the transaction ends."""
    digest = sha256(f"creates\0{namespace}".encode()).digest()
    await conn.execute(statement("lock_creates"), int.from_bytes(digest[:8], signed=True))


async def count_jobs(conn: Connection, namespace: str, *, at_most: int) -> int:
    """Count the jobs of a namespace, in whatever state."""
    found: int = await conn.fetchval(statement("count_jobs"), namespace, at_most)
    return found
