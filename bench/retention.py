"""A day of history dropped while jobs fire: how long does it take, and how late does it make them?

    python bench/retention.py [--rows N] [--rate N] [--over SECONDS] [--settle SECONDS]
    python bench/retention.py --fill DATABASE [--rows N]
    python bench/retention.py --filled DATABASE [--rate N] ...

Fills a day that is long over, starts one replica, has so many jobs due each second, and takes the
day off and drops it as the upkeep does. Prints how long each took, with all attempts at the lock,
and the lateness before and around it, by the ledger. Filling takes minutes and no quiet, so it
may be done before, in an empty database that stays: `--filled` takes the oldest day of it.
"""

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import a_database, durable, receiver
from bench._history import ended_since, fill_day, lateness

from fleet import database, replica, schedule
from scheduler_svc.store import migrate, partitions
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


async def dropped(conn: Connection, day: date) -> tuple[datetime, datetime]:
    """Take the day off and drop it; return from when to when."""
    since: datetime = await conn.fetchval("SELECT clock_timestamp()")
    begun = time.monotonic()
    (name,) = await partitions.retire(conn, before=day + timedelta(days=1))
    off = time.monotonic()
    large = statement("large_indexes"), partitions.retired_name(name), partitions.PIECE_BYTES
    pieces = len(await conn.fetch(*large)) + 1
    paused = (pieces - 1) * partitions.PIECE_SECONDS
    cleared = time.monotonic()
    assert await partitions.discard(conn, name)
    took = time.monotonic() - cleared
    print(
        f"taken off in {(off - begun) * 1000:.0f} ms; its files went after that in {pieces} pieces,"
        f" {(took - paused) * 1000:.0f} ms of work and {paused * 1000:.0f} ms of pauses",
        flush=True,
    )
    return since, await conn.fetchval("SELECT clock_timestamp()")


async def fill(conn: Connection, rows: int) -> None:
    """Fill the day before the oldest that is there, or one that is long over."""
    begun = time.monotonic()
    have = await partitions.names(conn)
    long_over = datetime.now(UTC).date() - timedelta(days=60)
    first = partitions.day_of(have[0]) if have else long_over
    day = min(first - timedelta(days=1), long_over)
    name = await fill_day(conn, day, runs=rows, logged=False)
    size = await conn.fetchval("SELECT pg_total_relation_size($1::text::regclass)", name)
    await conn.execute(f"VACUUM ANALYZE {name}", timeout=3600)
    await conn.execute("CHECKPOINT", timeout=600)
    took = time.monotonic() - begun
    print(f"{rows:,} runs, {size / 1e9:.1f} GB, in {took:.0f} s", flush=True)


async def measure(dsn: str, url: str, asked: argparse.Namespace) -> None:
    """Fire, and drop the oldest day."""
    async with AsyncExitStack() as stack:
        conn = await stack.enter_async_context(database(dsn))
        day = partitions.day_of((await partitions.names(conn))[0])
        await conn.execute("CHECKPOINT", timeout=600)
        await stack.enter_async_context(replica(dsn, retention="3650d"))
        jobs = asked.rate * asked.over
        begin: datetime = await conn.fetchval("SELECT clock_timestamp() + interval '5 s'")
        await schedule(conn, url, jobs=jobs, begin_seconds=5, over_seconds=asked.over)
        await asyncio.sleep(5 + asked.settle)
        since, until = await dropped(conn, day)
        await ended_since(conn, begin, runs=jobs, seconds=asked.over + 60)
        second = timedelta(seconds=1)
        end = begin + timedelta(seconds=asked.over)
        print(f"before: {await lateness(conn, begin + 2 * second, since)}")
        print(f"during: {await lateness(conn, since - second / 2, until + second / 2)}")
        print(f"after:  {await lateness(conn, until + second / 2, end)}")


async def run(asked: argparse.Namespace) -> None:
    """Do what was asked."""
    if asked.fill:
        await migrate.migrate(asked.fill)
        async with database(asked.fill) as conn:
            await fill(conn, asked.rows)
    elif asked.filled:
        with receiver() as url:
            await measure(asked.filled, url, asked)
    else:
        with durable() as ground, receiver() as url:
            async with a_database(ground) as dsn:
                async with database(dsn) as conn:
                    await fill(conn, asked.rows)
                await measure(dsn, url, asked)


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="lateness while a day of history is dropped")
    given.add_argument("--rows", type=int, default=1_000_000)
    given.add_argument("--rate", type=int, default=300)
    given.add_argument("--over", type=int, default=20)
    given.add_argument("--settle", type=float, default=8.0)
    given.add_argument("--fill", help="a database to fill a day in")
    given.add_argument("--filled", help="a database whose oldest day is to go")
    asyncio.run(run(given.parse_args()))


if __name__ == "__main__":
    main()
