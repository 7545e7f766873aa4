"""On-time work while an outage is caught up: its lateness, against that of an idle service.

    python bench/catch_up.py [--jobs N] [--missed N] [--on-time N] [--over SECONDS]

One replica, twice on a database of its own: first with the on-time jobs alone, then with jobs of
which each has missed some hours and wants them all (`misfire: all`). The figures are the ledger's.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fleet import all_ended, database, replica, schedule
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import Connection
from sink import sinking

LATE = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, date_trunc('milliseconds', clock_timestamp()
            - ($2::integer - 0.5) * interval '1 hour') AS at
        FROM generate_series(1, $1::integer)
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, 'default', NULL, '', '{}', ($3::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('every', '1h',
                'anchor', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, now() - interval '100 days', now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""
FIGURES = """
    SELECT count(*) AS runs,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99,
        max(lateness_ms) AS most,
        extract(epoch FROM max(finished_at) - min(claimed_at)) AS seconds
    FROM runs WHERE trigger = $1 AND status = 'succeeded'
"""


async def missed(conn: Connection, url: str, *, jobs: int, hours: int) -> None:
    """Store jobs that have missed so many hours, and want each of them."""
    rule = {"policy": "all", "max_lateness": "90d"}
    made = {"target": {"url": url}, "misfire": rule, "overlap": "allow"}
    await conn.execute(LATE, jobs, hours, json.dumps(made))


async def measure(server: str, asked: argparse.Namespace, *, behind: int) -> float:
    """Run one round on a database of its own, print its figures, return the on-time p99."""
    name = f"scheduler_bench_{secrets.token_hex(4)}"
    async with database(server) as conn:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    await migrate.migrate(dsn)
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        ledger = await stack.enter_async_context(database(dsn))
        url = sink.url("/wait/20")
        await missed(ledger, url, jobs=behind, hours=asked.missed)
        # The on-time jobs begin before the replica is up and ends its first look at the backlog.
        await schedule(
            ledger, url, jobs=asked.on_time, begin_seconds=asked.begin, over_seconds=asked.over
        )
        await stack.enter_async_context(replica(dsn))
        total = asked.on_time + behind * asked.missed
        await all_ended(ledger, jobs=total, seconds=asked.over + 300)
        on_time = await ledger.fetchrow(FIGURES, "schedule")
        late = await ledger.fetchrow(FIGURES, "catch_up")
    async with database(server) as conn:
        await conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    assert on_time is not None
    assert late is not None
    print(
        f"{'catching up' if behind else 'idle':12} {on_time['runs']:6} on time:"
        f" p50 {on_time['p50']} p99 {on_time['p99']} max {on_time['most']} ms;"
        f" {late['runs']:6} caught up in {late['seconds'] or 0:.1f} s"
    )
    return float(on_time["p99"])


def main() -> None:
    """Measure the idle service, then the same with an outage behind it."""
    given = argparse.ArgumentParser(description="lateness of on-time work during a catch-up")
    given.add_argument("--jobs", type=int, default=500)
    given.add_argument("--missed", type=int, default=40)
    given.add_argument("--on-time", type=int, default=2000)
    given.add_argument("--begin", type=float, default=4.0)
    given.add_argument("--over", type=float, default=20.0)
    asked = given.parse_args()
    address = os.environ.get("DATABASE_URL")
    with ExitStack() as stack:
        dsn = address or stack.enter_context(embedded.throw_away()).dsn
        idle = asyncio.run(measure(dsn, asked, behind=0))
        busy = asyncio.run(measure(dsn, asked, behind=asked.jobs))
    print(f"p99 of on-time work during the catch-up: {busy / max(idle, 1):.2f} times idle")


if __name__ == "__main__":
    main()
