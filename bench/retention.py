"""A day of history dropped while jobs fire: how long does it take, and how late does it make them?

    python bench/retention.py [--rows N] [--rate N] [--over SECONDS] [--settle SECONDS]

Fills a day that is long over, starts one replica, has so many jobs due each second, and takes the
day off and drops it as the upkeep does. Prints how long both took together, with every attempt at
the lock, and the lateness before and around it, by the ledger.
"""

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver
from bench._history import ended_since, fill_day, lateness

from fleet import database, replica, schedule
from scheduler_svc.store import partitions
from scheduler_svc.store.pool import Connection


async def dropped(conn: Connection) -> tuple[datetime, datetime]:
    """Take the day off and drop it; return from when to when."""
    since: datetime = await conn.fetchval("SELECT clock_timestamp()")
    begun = time.monotonic()
    (name,) = await partitions.retire(conn, before=since.date() - timedelta(days=30))
    off = time.monotonic()
    assert await partitions.discard(conn, name)
    done = time.monotonic()
    print(
        f"taken off in {(off - begun) * 1000:.0f} ms, dropped in {(done - off) * 1000:.0f} ms:"
        f" {(done - begun) * 1000:.0f} ms",
        flush=True,
    )
    return since, await conn.fetchval("SELECT clock_timestamp()")


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    """Fill, fire, drop."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        begun = time.monotonic()
        old = datetime.now(UTC).date() - timedelta(days=60)
        name = await fill_day(conn, old, runs=asked.rows, logged=False)
        size = await conn.fetchval("SELECT pg_total_relation_size($1::text::regclass)", name)
        await conn.execute(f"VACUUM ANALYZE {name}", timeout=3600)
        await conn.execute("CHECKPOINT", timeout=600)
        took = time.monotonic() - begun
        print(f"{asked.rows:,} runs, {size / 1e9:.1f} GB, in {took:.0f} s", flush=True)
        await stack.enter_async_context(replica(dsn, retention="3650d"))
        jobs = asked.rate * asked.over
        begin: datetime = await conn.fetchval("SELECT clock_timestamp() + interval '5 s'")
        await schedule(conn, url, jobs=jobs, begin_seconds=5, over_seconds=asked.over)
        await asyncio.sleep(5 + asked.settle)
        since, until = await dropped(conn)
        await ended_since(conn, begin, runs=jobs, seconds=asked.over + 60)
        second = timedelta(seconds=1)
        end = begin + timedelta(seconds=asked.over)
        print(f"before: {await lateness(conn, begin + 2 * second, since)}")
        print(f"during: {await lateness(conn, since - second / 2, until + second / 2)}")
        print(f"after:  {await lateness(conn, until + second / 2, end)}")


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="lateness while a day of history is dropped")
    given.add_argument("--rows", type=int, default=1_000_000)
    given.add_argument("--rate", type=int, default=300)
    given.add_argument("--over", type=int, default=20)
    given.add_argument("--settle", type=float, default=8.0)
    asked = given.parse_args()
    with durable() as ground, receiver() as url:
        asyncio.run(measure(ground, url, asked))


if __name__ == "__main__":
    main()
