"""Replicas on one database: nothing lost, early or doubled, and how late the calls were.

    python bench/cluster.py [--jobs N] [--over SECONDS] [--replicas N ...] [--kill]

Each job is due once; the sink is a process of its own. With `--kill` one replica is killed with -9
in the middle. DATABASE_URL names a server to make a database on; else a throw-away one is started.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fleet import all_ended, database, judged, replica, schedule
from scheduler_svc.store import embedded, migrate
from sink import sinking


async def measure(server: str, asked: argparse.Namespace, replicas: int, *, kill: bool) -> None:
    """Run one round on a database of its own and print its verdict."""
    name = f"scheduler_bench_{secrets.token_hex(4)}"
    async with database(server) as conn:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    await migrate.migrate(dsn)
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        ledger = await stack.enter_async_context(database(dsn))
        fleet = [await stack.enter_async_context(replica(dsn)) for _ in range(replicas)]
        await schedule(
            ledger, sink.url("/wait/20"), jobs=asked.jobs, begin_seconds=3, over_seconds=asked.over
        )
        if kill:
            await all_ended(ledger, jobs=asked.jobs // 2, seconds=asked.over + 60)
            fleet[0].program.tell(signal.SIGKILL)
        await all_ended(ledger, jobs=asked.jobs, seconds=asked.over + 60)
        verdict = await judged(ledger, await sink.taken())
        lost = await ledger.fetchval("SELECT sum(lost_count) FROM runs")
        others = await ledger.fetchval(
            "SELECT percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) FROM runs"
            " WHERE lost_count = 0"
        )
    print(f"{replicas} replicas{', one killed' if kill else ''}: {verdict}")
    if kill:
        print(f"    attempts lost with it: {lost}; p99 of all other runs: {others} ms")
    async with database(server) as conn:
        await conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def main() -> None:
    """Measure each number of replicas, and once with a kill."""
    given = argparse.ArgumentParser(description="lateness and exactness of several replicas")
    given.add_argument("--jobs", type=int, default=5000)
    given.add_argument("--over", type=float, default=20.0)
    given.add_argument("--replicas", type=int, nargs="*", default=[2, 4])
    given.add_argument("--kill", action="store_true", help="only the round with a kill")
    asked = given.parse_args()
    address = os.environ.get("DATABASE_URL")
    with ExitStack() as stack:
        dsn = address or stack.enter_context(embedded.throw_away()).dsn
        for replicas in asked.replicas:
            if not asked.kill:
                asyncio.run(measure(dsn, asked, replicas, kill=False))
        asyncio.run(measure(dsn, asked, max(asked.replicas), kill=True))


if __name__ == "__main__":
    main()
