"""Timers at an even pace, each at an instant of its own: how late they are, and what each costs.

    python bench/steady.py [--rates N ...] [--seconds N] [--period N] [--warm SECONDS] [--peaks N]

Each rate has a database and a replica of its own, and as many jobs as make that rate when each
fires once in a period. Lateness is the ledger's, in whole milliseconds, and the receiver's: its
clock when the request is read, less `Scheduler-Scheduled-For`, with how many came early. With
`--peaks` the latest seconds are named.
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, Receiver, a_database, durable, receiving
from bench._steady import Stand, evenly, pass_by, until

from fleet import database, replica
from scheduler_svc.store.pool import Connection

PEAKS = """
    SELECT date_trunc('second', scheduled_for) AS at, max(lateness_ms) AS most,
        count(*) FILTER (WHERE lateness_ms >= 10) AS late, count(*) AS fires,
        to_char(min(scheduled_for) FILTER (WHERE lateness_ms >= 10), 'MS') AS first,
        to_char(max(scheduled_for) FILTER (WHERE lateness_ms >= 10), 'MS') AS last
    FROM runs WHERE scheduled_for >= $1 GROUP BY 1 ORDER BY 2 DESC NULLS LAST LIMIT $2
"""


async def peaks(conn: Connection, since: datetime, count: int) -> None:
    """Name the seconds with the latest calls, and how much of them was late."""
    for row in sorted(await conn.fetch(PEAKS, since, count), key=lambda row: row["at"]):
        late = f"{row['late']} of {row['fires']} 10 ms or more" if row["late"] else "none 10 ms"
        part = f", due from .{row['first']} to .{row['last']}" if row["late"] else ""
        print(f"    {row['at']:%H:%M:%S} max {row['most']} ms, {late}{part}")


async def measure(ground: Ground, target: Receiver, rate: int, asked: argparse.Namespace) -> None:
    """Fire at one rate, and print what it came to."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        fleet = [await stack.enter_async_context(replica(dsn))]
        jobs = rate * asked.period
        first = await evenly(conn, target.url, jobs=jobs, period=asked.period)
        await conn.execute("CHECKPOINT")
        await until(conn, first, seconds=asked.warm)
        since = await conn.fetchval("SELECT clock_timestamp()")
        target.seen()
        found = await pass_by(Stand(ground, conn, fleet), asked.seconds)
        print(f"{rate:,}/s for {asked.seconds:.0f} s of {jobs:,} jobs: {found}")
        print(f"    at the receiver: {target.seen()}", flush=True)
        if asked.peaks:
            await peaks(conn, since, asked.peaks)


def main() -> None:
    """Measure each rate."""
    given = argparse.ArgumentParser(description="lateness at an even pace")
    given.add_argument("--rates", type=int, nargs="+", default=[500, 2000])
    given.add_argument("--seconds", type=float, default=60.0)
    given.add_argument("--period", type=int, default=60, help="seconds between two fires of a job")
    given.add_argument("--warm", type=float, default=10.0)
    given.add_argument("--peaks", type=int, default=0, help="how many of the latest seconds")
    asked = given.parse_args()
    with durable() as ground, receiving(watching=True) as target:
        for rate in asked.rates:
            asyncio.run(measure(ground, target, rate, asked))


if __name__ == "__main__":
    main()
