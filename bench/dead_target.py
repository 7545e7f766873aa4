"""One host that never answers beside healthy ones: their lateness, with it and without.

    python bench/dead_target.py [--dead N] [--healthy N] [--over SECONDS] [--replicas N] [--burst N]

The dead are due at one instant, the healthy from that instant on, on a database of their own, with
the shipped command and no configuration. The dead host takes connections and never says a word.
With `--burst` it measures instead how long so many jobs of one healthy host take, all due at once.
The figures are the ledger's.
"""

import argparse
import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fleet import database, replica
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import Connection
from sink import Sinking, sinking

BEGIN_SECONDS = 6
DUE = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, date_trunc('milliseconds',
            $2::timestamptz + $3::float8 * n / $1::integer * interval '1 second') AS at
        FROM generate_series(0, $1::integer - 1) AS n
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, 'default', NULL, '', '{}', ($4::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('at', to_char(at AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, now(), now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""
FIGURES = """
    SELECT count(*) AS runs,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99,
        max(lateness_ms) AS most,
        extract(epoch FROM max(finished_at) - min(scheduled_for)) AS seconds
    FROM runs WHERE status = 'succeeded'
"""
WAITING = """
    SELECT coalesce(deferral ->> 'reason', 'nothing') AS reason, status, count(*) AS runs
    FROM runs WHERE status <> 'succeeded' GROUP BY 1, 2 ORDER BY 3 DESC
"""


@contextmanager
def dead_host() -> Iterator[str]:
    """Listen at another loopback address, take connections and never answer."""
    with socket.create_server(("127.0.0.2", 0), backlog=4096) as listening:
        yield f"http://127.0.0.2:{listening.getsockname()[1]}/"


@asynccontextmanager
async def fresh(server: str) -> AsyncIterator[str]:
    """Make a database, migrated, and drop it at the end."""
    name = f"scheduler_bench_{secrets.token_hex(4)}"
    async with database(server) as conn:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    await migrate.migrate(dsn)
    yield dsn
    async with database(server) as conn:
        await conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def measure(server: str, asked: argparse.Namespace, *, dead: int, healthy: int) -> int:
    """Run one round, print its figures, return the p99 of the healthy."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(fresh(server))
        sink = await stack.enter_async_context(sinking())
        ledger = await stack.enter_async_context(database(dsn))
        for _ in range(asked.replicas):
            await stack.enter_async_context(replica(dsn))
        await _store(ledger, sink, stack, asked, dead=dead, healthy=healthy)
        async with asyncio.timeout(BEGIN_SECONDS + 120):
            # Rows that other processes write: there is no event to wait for.
            while await ledger.fetchval(SUCCEEDED) < healthy:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        found = await ledger.fetchrow(FIGURES)
        waiting = await ledger.fetch(WAITING)
    assert found is not None
    print(
        f"{dead:6} dead, {found['runs']:6} healthy: p50 {found['p50']} p99 {found['p99']}"
        f" max {found['most']} ms, all sent in {found['seconds']:.2f} s;",
        ", ".join(f"{row['runs']} {row['status']} ({row['reason']})" for row in waiting),
    )
    return int(found["p99"])


async def _store(
    ledger: Connection,
    sink: Sinking,
    stack: AsyncExitStack,
    asked: argparse.Namespace,
    *,
    dead: int,
    healthy: int,
) -> None:
    begin = await ledger.fetchval(
        "SELECT date_trunc('second', clock_timestamp()) + $1::integer * interval '1 s'",
        BEGIN_SECONDS,
    )
    over = 0.0 if asked.burst else asked.over
    if dead:
        target = {"target": {"url": stack.enter_context(dead_host())}}
        await ledger.execute(DUE, dead, begin, 0.0, json.dumps(target))
    target = {"target": {"url": sink.url("/")}}
    await ledger.execute(DUE, healthy, begin, over, json.dumps(target))
    await ledger.execute("SELECT pg_notify('scheduler', 'wake 0')")


SUCCEEDED = "SELECT count(*) FROM runs WHERE status = 'succeeded'"


def main() -> None:
    """Measure the healthy alone, then beside the dead; or a burst of the healthy."""
    given = argparse.ArgumentParser(description="lateness of healthy jobs beside a dead host")
    given.add_argument("--dead", type=int, default=10_000)
    given.add_argument("--healthy", type=int, default=500)
    given.add_argument("--over", type=float, default=5.0)
    given.add_argument("--replicas", type=int, default=1)
    given.add_argument("--burst", type=int, default=0)
    asked = given.parse_args()
    address = os.environ.get("DATABASE_URL")
    with ExitStack() as stack:
        dsn = address or stack.enter_context(embedded.throw_away()).dsn
        if asked.burst:
            asyncio.run(measure(dsn, asked, dead=0, healthy=asked.burst))
            return
        alone = asyncio.run(measure(dsn, asked, dead=0, healthy=asked.healthy))
        beside = asyncio.run(measure(dsn, asked, dead=asked.dead, healthy=asked.healthy))
    print(f"healthy p99 alone {alone} ms, beside {asked.dead} dead {beside} ms")


if __name__ == "__main__":
    main()
