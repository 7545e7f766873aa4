"""What callers have left of their budgets, over all replicas: one row a caller and budget."""

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.limits import Policy
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

KEPT_MS = 600_000


async def spend(conn: Connection, client: str, policy: Policy, spent: float) -> float:
    """Take what passed since the last time; return what is left, below zero where it is owed."""
    left: float = await conn.fetchval(
        statement("spend_tokens"), client, policy.name, spent, policy.per_second, policy.burst
    )
    return left


async def prune(conn: Connection, *, now_ms: int, batch: int) -> int:
    """Forget buckets that nobody has drawn from for a while, at most a batch; return how many."""
    before = instant_at(now_ms - KEPT_MS)
    done: str = await conn.execute(statement("prune_rate_buckets"), before, batch)
    return int(done.rpartition(" ")[2])
