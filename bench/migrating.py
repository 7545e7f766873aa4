"""A column and an index added to a large `runs` while jobs fire: how late does that make them?

    python bench/migrating.py [--rows N] [--days N] [--rate N] [--over SECONDS] [--settle SECONDS]
        [--wait]

Fills days of history, starts one replica, has so many jobs due each second, and applies two
migrations beside the shipped ones: a column in one transaction and an index by partition. Prints
how long each took, and the lateness before, during and after, by the ledger.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver
from bench._history import ended_since, fill_day, lateness

from fleet import database, replica, schedule
from scheduler_svc.store.migrate import load, migrate, shipped
from scheduler_svc.store.migration_files import BY_PARTITION
from scheduler_svc.store.pool import Connection

FILES = {
    "a column": "ALTER TABLE runs ADD COLUMN bench_note text;",
    "an index": f"{BY_PARTITION}\nCREATE INDEX runs_bench ON runs (namespace, started_at DESC);",
}


async def fill(conn: Connection, *, rows: int, days: int) -> None:
    """Make the days before yesterday, each with its part of the rows."""
    begun = time.monotonic()
    for n in range(days):
        await fill_day(conn, (datetime.now(UTC) - timedelta(days=2 + n)).date(), runs=rows // days)
    await conn.execute("VACUUM ANALYZE runs", timeout=3600)
    size = await conn.fetchval(
        "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
        " WHERE inhparent = 'runs'::regclass"
    )
    print(
        f"{rows:,} runs, {float(size) / 1e9:.1f} GB, in {time.monotonic() - begun:.0f} s",
        flush=True,
    )


async def change(dsn: str, conn: Connection, number: int, what: str) -> tuple[datetime, datetime]:
    """Apply one more file than there is; return from when to when."""
    with tempfile.TemporaryDirectory() as folder:
        for known in shipped():
            (Path(folder) / known.name).write_text(known.sql)
        for n, sql in enumerate(list(FILES.values())[: number + 1]):
            (Path(folder) / f"{len(shipped()) + 1 + n:04}_bench.sql").write_text(sql)
        since: datetime = await conn.fetchval("SELECT clock_timestamp()")
        begun = time.monotonic()
        await migrate(dsn, load(Path(folder)))
        print(f"{what} in {time.monotonic() - begun:.2f} s", flush=True)
        return since, await conn.fetchval("SELECT clock_timestamp()")


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    """Fill, fire, migrate."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        await fill(conn, rows=asked.rows, days=asked.days)
        await conn.execute("CHECKPOINT", timeout=600)
        if asked.wait:
            print("press Enter to measure", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        await stack.enter_async_context(replica(dsn))
        jobs = asked.rate * asked.over
        begin: datetime = await conn.fetchval("SELECT clock_timestamp() + interval '5 s'")
        await schedule(conn, url, jobs=jobs, begin_seconds=5, over_seconds=asked.over)
        await asyncio.sleep(5 + asked.settle)
        spans = [await change(dsn, conn, n, what) for n, what in enumerate(FILES)]
        end = begin + timedelta(seconds=asked.over)
        if spans[-1][1] > end:
            print(f"    the index took longer than the fires: only {asked.over} s are measured")
        await ended_since(conn, begin, runs=jobs, seconds=asked.over + 60)
        second = timedelta(seconds=1)
        print(f"before:          {await lateness(conn, begin + 2 * second, spans[0][0])}")
        for what, (since, until) in zip(FILES, spans, strict=True):
            print(f"during {what}: {await lateness(conn, since - second, until + second)}")
        print(f"all:             {await lateness(conn, begin + 2 * second, end)}")


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="lateness while a large table is changed")
    given.add_argument("--rows", type=int, default=2_000_000)
    given.add_argument("--days", type=int, default=4)
    given.add_argument("--rate", type=int, default=1000)
    given.add_argument("--over", type=int, default=40)
    given.add_argument("--settle", type=float, default=6.0)
    given.add_argument("--wait", action="store_true", help="for Enter, between fill and measure")
    asked = given.parse_args()
    with durable() as ground, receiver() as url:
        asyncio.run(measure(ground, url, asked))


if __name__ == "__main__":
    main()
