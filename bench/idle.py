"""Very many jobs of which none is due: statements a second, processor time and memory.

    python bench/idle.py [--jobs N ...] [--seconds N] [--settle SECONDS] [--statements N]

Half of the jobs are `cron`, half `every`, with instants spread over the week that begins in an
hour, so that most are due tomorrow or later. The fill is vacuumed, analysed and flushed before the
replica starts, and the replica has the time to look once for jobs that older versions left (within
90 s of its start), or both would be measured. Statements are counted by pg_stat_statements where
the server is ours, those inside of functions and each BEGIN and COMMIT included; `--statements`
names the most frequent. Processor time is in per cent of one core. On a virtual machine that rests
it is mostly that of waking: beside it stands how often the replica woke, and what an empty program
takes that wakes once a second and does nothing.
"""

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psutil
from bench._ground import Ground, a_database, durable
from bench._steady import Stand, far_off, read, resident_mib

from fleet import Replica, database, replica
from scheduler_svc.store.pool import Connection

COUNTED = """
    SELECT coalesce(sum(s.calls), 0) FROM pg_stat_statements AS s
    JOIN pg_database AS d ON d.oid = s.dbid WHERE d.datname = $1
"""
FREQUENT = """
    SELECT s.calls, s.total_exec_time AS ms,
        left(regexp_replace(regexp_replace(s.query, '--[^\n]*', '', 'g'), '\\s+', ' ', 'g'), 90)
            AS words
    FROM pg_stat_statements AS s
    JOIN pg_database AS d ON d.oid = s.dbid WHERE d.datname = $1 ORDER BY 1 DESC LIMIT $2
"""


async def fill(conn: Connection, jobs: int) -> None:
    """Store the jobs, and leave nothing of it to be done later."""
    await far_off(conn, "http://127.0.0.1:9/never", jobs=jobs, hours=1.1)
    await conn.execute("VACUUM ANALYZE", timeout=1800)
    await conn.execute("CHECKPOINT", timeout=600)


async def empty_wakes(times: int = 20) -> float:
    """Return what waking once a second and doing nothing takes, in per cent of a core."""
    began = time.process_time()
    for _ in range(times):
        await asyncio.sleep(1)
    return 100 * (time.process_time() - began) / times


def wakes(fleet: list[Replica]) -> int:
    """Return how often replicas went to sleep so far."""
    return sum(psutil.Process(one.program.pid).num_ctx_switches().voluntary for one in fleet)


async def measure(ground: Ground, jobs: int, asked: argparse.Namespace) -> None:
    """Fill a database, let a replica stand idle on it, print what that took."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        counter = await stack.enter_async_context(database(ground.dsn))
        name = await conn.fetchval("SELECT current_database()")
        await fill(conn, jobs)
        fleet = [await stack.enter_async_context(replica(dsn))]
        await asyncio.sleep(asked.settle)
        stand = Stand(ground, conn, fleet)
        if ground.pid is not None:
            await counter.execute("SELECT pg_stat_statements_reset()")
        before, slept = await read(stand), wakes(fleet)
        await asyncio.sleep(asked.seconds)
        statements = await counter.fetchval(COUNTED, name) if ground.pid is not None else None
        most = asked.statements if ground.pid is not None else 0
        frequent = await counter.fetch(FREQUENT, name, most) if most else []
        after, slept = await read(stand), wakes(fleet) - slept
        seconds = (after.at - before.at).total_seconds()
        ours, server = (
            100 * (getattr(after, of) - getattr(before, of)) / seconds for of in ("ours", "server")
        )
        said = "not counted" if statements is None else f"{float(statements) / seconds:.2f}/s"
        committed = (after.transactions - before.transactions) / seconds
        print(
            f"{jobs:,} jobs, none due, {seconds:.0f} s: statements {said},"
            f" transactions {committed:.2f}/s, processor {ours:.2f} % ours + {server:.2f} %"
            f" PostgreSQL = {ours + server:.2f} %, WAL {(after.wal - before.wal) / seconds:,.0f}"
            f" B/s, memory {resident_mib(fleet):.0f} MiB; it woke {slept / seconds:.1f} times a"
            f" second, and an empty program that does so once takes {await empty_wakes():.2f} %",
            flush=True,
        )
        for row in frequent:
            print(f"    {row['calls'] / seconds:6.2f}/s {row['ms']:8.1f} ms  {row['words']}")


def main() -> None:
    """Measure each number of jobs."""
    given = argparse.ArgumentParser(description="what standing idle costs")
    given.add_argument("--jobs", type=int, nargs="+", default=[100_000, 1_000_000])
    given.add_argument("--seconds", type=float, default=120.0)
    given.add_argument("--settle", type=float, default=100.0)
    given.add_argument("--statements", type=int, default=0, help="how many to name")
    asked = given.parse_args()
    with durable(counting=True) as ground:
        for jobs in asked.jobs:
            asyncio.run(measure(ground, jobs, asked))


if __name__ == "__main__":
    main()
