"""What the service keeps for a while and then forgets, by row: answers kept for idempotency keys,
what callers had left of their budgets, and sessions that are over.

Bounded per statement and repeated, on every replica; the days of history are dropped by `upkeep`.
"""

import asyncio

from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import idempotency, rate_limits, sessions
from scheduler_svc.store.pool import connection, is_database_away

PRUNE_SECONDS = 60.0
PRUNE_BATCH = 500


async def prunes(parts: Parts) -> None:
    """Forget what is too old, for ever."""
    while True:
        await asyncio.sleep(PRUNE_SECONDS * (0.5 + parts.rand()))
        try:
            await prune(parts)
            await prune_buckets(parts)
            await prune_sessions(parts)
        except Exception as error:
            if not is_database_away(error):
                raise


async def prune(parts: Parts) -> int:
    """Forget answers that are replayed no more, batch by batch; return how many there were."""
    count = 0
    while True:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            done = await idempotency.prune(conn, now_ms=parts.clock.now_ms(), batch=PRUNE_BATCH)
        count += done
        if done < PRUNE_BATCH:
            return count


async def prune_buckets(parts: Parts) -> int:
    """Forget budgets that nobody has drawn from for a while; return how many there were."""
    count = 0
    while True:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            done = await rate_limits.prune(conn, now_ms=parts.clock.now_ms(), batch=PRUNE_BATCH)
        count += done
        if done < PRUNE_BATCH:
            return count


async def prune_sessions(parts: Parts) -> int:
    """Forget sessions that have been over for a day; return how many there were."""
    count = 0
    while True:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            done = await sessions.prune(conn, now_ms=parts.clock.now_ms(), batch=PRUNE_BATCH)
        count += done
        if done < PRUNE_BATCH:
            return count
