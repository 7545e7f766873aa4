"""What a fire costs with few jobs and no history, and with very many of both.

    python bench/growth.py [--jobs N] [--runs N] [--days N] [--rate N] [--seconds N] [--turns N]
    python bench/growth.py --fill DATABASE [--jobs N] [--runs N] [--days N]
    python bench/growth.py --filled DATABASE [--rate N] [--seconds N] [--turns N]

Two databases on one server take turns, each with a replica of its own: a small one, and a large one
with so many jobs and past runs, in the days before yesterday. In each 1,000 jobs make the load, so
that the replica knows them all; then as many jobs as there are fires, so that it knows none: in the
small one these are all there are, in the large one they are drawn by chance. Filling takes minutes
and no quiet: it may be done before, in an empty database that stays, on the server of DATABASE_URL.
"""

import argparse
import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiving
from bench._history import fill_day
from bench._steady import Stand, While, evenly, far_off, pass_by

from commands import free_port
from fleet import database, replica
from scheduler_svc.store import migrate
from scheduler_svc.store.pool import Connection

KNOWN = 1000
FAR_HOURS = 24.0 * 400
WARM_SECONDS = 5.0
MARGIN_SECONDS = 4.0
ARM = """
    WITH chosen AS (
        SELECT id, row_number() OVER () - 1 AS n
        FROM (SELECT id FROM jobs WHERE namespace = $1 ORDER BY random() LIMIT $2) AS drawn
    )
    UPDATE job_timers AS t SET scheduled_for = c.at, fire_at = c.at
    FROM (
        SELECT id, date_trunc('milliseconds', clock_timestamp()
            + (3 + $3::float8 * n / $2::integer) * interval '1 second') AS at FROM chosen
    ) AS c
    WHERE t.job_id = c.id
"""
DISARM = """
    UPDATE job_timers AS t
    SET scheduled_for = scheduled_for + interval '400 days', fire_at = fire_at + interval '400 days'
    FROM jobs AS j
    WHERE j.id = t.job_id AND fire_at < now() + interval '1 day'
"""
PORT = """
    SELECT split_part(split_part(definition #>> '{target,url}', ':', 3), '/', 1)
    FROM jobs LIMIT 1
"""


@dataclass
class Side:
    """One of the two databases, and what its turns came to: by known jobs, by new ones."""

    title: str
    dsn: str
    found: dict[str, list[While]] = field(default_factory=lambda: {"known": [], "new": []})

    def middle(self, kind: str, name: str) -> float:
        """Return the median of a figure over the turns."""
        return float(median(getattr(one, name) for one in self.found[kind]))


async def fill(conn: Connection, url: str, *, rate: float, jobs: int, runs: int, days: int) -> None:
    """Store the jobs that make the load, jobs far off, and days of history."""
    begun = time.monotonic()
    await evenly(conn, url, jobs=KNOWN, period=KNOWN / rate, begin=-60.0, namespace="known")
    await far_off(conn, url, jobs=jobs, hours=FAR_HOURS, namespace="new")
    await conn.execute(DISARM)
    for n in range(days if runs else 0):
        day = datetime.now(UTC).date() - timedelta(days=2 + n)
        await fill_day(conn, day, runs=runs // days, logged=False)
    await conn.execute("VACUUM ANALYZE", timeout=3600)
    await conn.execute("CHECKPOINT", timeout=600)
    size = await conn.fetchval("SELECT pg_database_size(current_database())")
    took = time.monotonic() - begun
    print(f"{jobs + KNOWN:,} jobs, {runs:,} runs, {size / 1e9:.1f} GB, in {took:.0f} s", flush=True)


async def turn(ground: Ground, side: Side, kind: str, asked: argparse.Namespace) -> None:
    """Have one load on one side, with a replica of its own."""
    over = asked.seconds + WARM_SECONDS + MARGIN_SECONDS
    count = KNOWN if kind == "known" else int(asked.rate * over)
    async with AsyncExitStack() as stack:
        conn = await stack.enter_async_context(database(side.dsn))
        one = await stack.enter_async_context(replica(side.dsn, retention="3650d"))
        over = KNOWN / asked.rate if kind == "known" else over
        await conn.execute(ARM, kind, count, over, timeout=600)
        await conn.execute("SELECT pg_notify('scheduler', 'wake 0')")
        await asyncio.sleep(3 + WARM_SECONDS)
        stand = Stand(ground, conn, [one], kind)
        side.found[kind].append(await pass_by(stand, asked.seconds))
        print(f"{side.title}, {kind} jobs: {side.found[kind][-1]}", flush=True)
        one.program.tell(signal.SIGTERM)
        await one.program.end()
        await conn.execute(DISARM)


async def measure(ground: Ground, sides: list[Side], asked: argparse.Namespace) -> None:
    """Let the sides take turns, and print how many times the small one the large one costs."""
    async with database(sides[0].dsn) as conn:
        port = int(await conn.fetchval(PORT))
    with receiving(port=port):
        for kind in ("known", "new"):
            for _ in range(asked.turns):
                for side in sides:
                    await turn(ground, side, kind, asked)
    small, large = sides
    for kind in ("known", "new"):
        times = {
            name: large.middle(kind, name) / small.middle(kind, name)
            for name in ("cpu_us", "ours_us", "server_us", "wal_bytes", "blocks")
        }
        print(
            f"{kind} jobs, medians of {asked.turns}: {small.middle(kind, 'cpu_us'):.0f} us"
            f" of processor a fire, then {large.middle(kind, 'cpu_us'):.0f}:"
            f" {times['cpu_us']:.2f} times"
            f" (ours {times['ours_us']:.2f}, PostgreSQL {times['server_us']:.2f}),"
            f" WAL {times['wal_bytes']:.2f}, blocks {times['blocks']:.2f}"
        )


async def run(asked: argparse.Namespace) -> None:
    """Do what was asked."""
    full = {name: getattr(asked, name) for name in ("rate", "jobs", "runs", "days")}
    if asked.fill:
        await migrate.migrate(asked.fill)
        async with database(asked.fill) as conn:
            url = f"http://127.0.0.1:{free_port()}/call"
            await fill(conn, url, **full)
        return
    few = int(asked.rate * (asked.seconds + WARM_SECONDS + MARGIN_SECONDS))
    async with AsyncExitStack() as stack:
        ground = stack.enter_context(durable())
        small = await stack.enter_async_context(a_database(ground))
        large = asked.filled or await stack.enter_async_context(a_database(ground))
        if not asked.filled:
            async with database(large) as conn:
                url = f"http://127.0.0.1:{free_port()}/call"
                await fill(conn, url, **full)
        async with database(large) as conn:
            url = f"http://127.0.0.1:{await conn.fetchval(PORT)}/call"
        async with database(small) as conn:
            await fill(conn, url, rate=asked.rate, jobs=few, runs=0, days=0)
        await measure(ground, [Side("small", small), Side("large", large)], asked)


def main() -> None:
    """Measure once, or fill."""
    given = argparse.ArgumentParser(description="what a fire costs at size")
    given.add_argument("--jobs", type=int, default=1_000_000)
    given.add_argument("--runs", type=int, default=20_000_000)
    given.add_argument("--days", type=int, default=4)
    given.add_argument("--rate", type=float, default=500.0)
    given.add_argument("--seconds", type=float, default=20.0)
    given.add_argument("--turns", type=int, default=3)
    given.add_argument("--fill", help="a database to fill")
    given.add_argument("--filled", help="a database that was filled")
    asyncio.run(run(given.parse_args()))


if __name__ == "__main__":
    main()
