"""Claims that are stopped while they write, and wait until a test lets them go on."""

import asyncio

from scheduler_svc.store.pool import Connection

STOPPED = """
    SET LOCAL idle_in_transaction_session_timeout = '1min';
    LOCK TABLE runs IN SHARE MODE -- reads go on, writes wait
"""
_WAITING = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND (query LIKE '%FOR UPDATE') = $1
    ORDER BY xact_start
"""


async def waiting(conn: Connection, count: int, *, by_hand: bool = False) -> list[int]:
    """Wait until so many claims, or statements of a test, wait for a lock; return whose."""
    async with asyncio.timeout(30):
        while len(found := await conn.fetch(_WAITING, by_hand)) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return [row["pid"] for row in found]
