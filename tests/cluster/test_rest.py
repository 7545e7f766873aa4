"""A replica with nothing to do rests: what it looks for now and then it looks for together."""

import asyncio

import psutil

from fleet import Replica, database, replica
from scheduler_svc.store.pool import Connection

BEATS = 4
WAKES_MAX = 12
"""A second; about five on a machine that does nothing else; twenty when each came by itself."""
BEAT = "SELECT heartbeat_at FROM replicas"


async def test_a_replica_with_nothing_to_do_wakes_a_few_times_a_second(dsn: str) -> None:
    async with database(dsn) as conn, replica(dsn) as only:
        began = await beaten(conn, 2)  # its start is over
        before = wakes(only)
        ended = await beaten(conn, BEATS)
        seconds = ended - began
        woken = (wakes(only) - before) / seconds
    print(f"{woken:.1f} wakes a second")
    assert woken < WAKES_MAX


def wakes(one: Replica) -> int:
    """Return how often the process went to sleep so far."""
    return int(psutil.Process(one.program.pid).num_ctx_switches().voluntary)


async def beaten(conn: Connection, times: int) -> float:
    """Wait for so many heartbeats; return when the last was, in seconds of the database."""
    at = await conn.fetchval(BEAT)
    for _ in range(times):
        before = at
        while at == before:
            await asyncio.sleep(0.05)  # another process writes it: there is no event to wait for
            at = await conn.fetchval(BEAT)
    return float(at.timestamp())
