"""Many jobs due at one instant: how fast they leave, how late, and what each costs.

    python bench/burst.py [--jobs N] [--replicas N] [--workers N [N ...]] [--rounds N]

Each job is one POST of 200 bytes to a receiver in C and a durable record that it ran. A server with
fsync on is started, or DATABASE_URL names one (its processor time is then not counted). A first,
smaller round warms the replica. Prints each round and the medians. Where several numbers of workers
are given they take turns, each with a database and replicas of its own on one server, for a machine
is not as fast at every minute; the last is then set beside the first, turn by turn.
"""

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver, used

from fleet import Replica, database, replica
from scheduler_svc.domain.drift import versions
from scheduler_svc.store.pool import Connection

AHEAD_SECONDS = 4.0
WARM = 500
DUE = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id FROM generate_series(1, $1::integer)
    ),
    instant AS (
        SELECT date_trunc('milliseconds',
            clock_timestamp() + $2::float8 * interval '1 second') AS at
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, 'default', NULL, '', '{}', ($3::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('every', '1d',
                'anchor', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, at - interval '1 day', now()
        FROM planned, instant
    ),
    expected AS (
        INSERT INTO job_expectations SELECT id, $4, ARRAY[at], NULL FROM planned, instant
    ),
    armed AS (INSERT INTO job_timers SELECT id, at, at, 1 FROM planned, instant)
    SELECT at FROM instant
"""
COMMITS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
AWAY = "SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())::float8"
UNENDED = """
    SELECT EXISTS (SELECT FROM job_timers WHERE fire_at <= $1)
        OR EXISTS (SELECT FROM runs WHERE status IN ('due', 'running'))
"""
FIGURES = """
    SELECT extract(epoch FROM max(finished_at) - $1)::float8 AS seconds,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99,
        min(lateness_ms) AS least,
        count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
        sum(attempt_count) AS attempts
    FROM runs WHERE scheduled_for = $1
"""


@dataclass(frozen=True)
class Round:
    """What one burst came to; processor time in microseconds a call."""

    calls_per_second: float
    p50_ms: int
    p99_ms: int
    ours_us: float
    server_us: float
    wal_bytes: float
    transactions: float

    def __str__(self) -> str:
        return (
            f"{self.calls_per_second:9,.0f} calls/s   p50 {self.p50_ms:6,} ms"
            f"   p99 {self.p99_ms:6,} ms   {self.ours_us:5.0f} us ours"
            f"   {self.server_us:5.0f} us PostgreSQL   {self.wal_bytes:6,.0f} B of WAL a call"
            f"   {self.transactions:5,.0f} transactions"
        )


async def burst(
    ground: Ground, conn: Connection, fleet: list[Replica], url: str, jobs: int
) -> Round:
    """Have so many jobs due at one instant, and wait until each has ended."""
    body = {"n": "x" * 192}
    made = json.dumps({"target": {"url": url, "body": body}, "overlap": "skip"})
    ahead = AHEAD_SECONDS + jobs / 20_000
    at = await conn.fetchval(DUE, jobs, ahead, made, versions(), timeout=600)
    await conn.execute("ANALYZE job_timers")
    wal = await conn.fetchval("SELECT pg_current_wal_insert_lsn()")
    commits = await conn.fetchval(COMMITS)
    ours = sum(used(each.program.pid) for each in fleet)
    server = ground.cpu_seconds()
    await conn.execute("SELECT pg_notify('scheduler', 'wake 0')")
    await ended(conn, at, seconds=jobs / 500 + 60)
    ours = sum(used(each.program.pid) for each in fleet) - ours
    server = ground.cpu_seconds() - server
    spent = await conn.fetchval("SELECT pg_current_wal_insert_lsn() - $1::pg_lsn", wal)
    row = await conn.fetchrow(FIGURES, at)
    assert row is not None
    if (row["succeeded"], row["attempts"]) != (jobs, jobs) or row["least"] < 0:
        print(f"    not clean: {dict(row)}")
    return Round(
        jobs / row["seconds"],
        row["p50"],
        row["p99"],
        ours * 1e6 / jobs,
        server * 1e6 / jobs,
        float(spent) / jobs,
        await conn.fetchval(COMMITS) - commits,
    )


async def ended(conn: Connection, at: datetime, *, seconds: float) -> None:
    """Wait until nothing is left of a burst, at little cost to the server: its time is measured."""
    await conn.execute("SET enable_seqscan = off")  # by the indexes of what is due and unfinished
    await asyncio.sleep(await conn.fetchval(AWAY, at))
    async with asyncio.timeout(seconds):
        # Rows that other processes write: there is no event to wait for.
        while await conn.fetchval(UNENDED, at):  # noqa: ASYNC110
            await asyncio.sleep(0.25)
    await conn.execute("RESET enable_seqscan")


async def stand(
    stack: AsyncExitStack, ground: Ground, url: str, *, replicas: int, workers: int
) -> tuple[Connection, list[Replica]]:
    """Have a database with replicas that are warm."""
    dsn = await stack.enter_async_context(a_database(ground))
    conn = await stack.enter_async_context(database(dsn))
    given = {"workers": str(workers)} if workers > 1 else {}
    fleet = [await stack.enter_async_context(replica(dsn, **given)) for _ in range(replicas)]
    await burst(ground, conn, fleet, url, WARM)
    return conn, fleet


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> list[list[Round]]:
    """Run the rounds in turns; return them by the numbers of workers."""
    async with AsyncExitStack() as stack:
        stands = [
            await stand(stack, ground, url, replicas=asked.replicas, workers=workers)
            for workers in asked.workers
        ]
        rounds: list[list[Round]] = [[] for _ in stands]
        for _ in range(asked.rounds):
            for (conn, fleet), found, workers in zip(stands, rounds, asked.workers, strict=True):
                found.append(await burst(ground, conn, fleet, url, asked.jobs))
                title = f"{asked.jobs:,} at once" + f", {workers} workers" * (workers > 1)
                print(f"{title}: {found[-1]}", flush=True)
    return rounds


def main() -> None:
    """Measure, and print the medians."""
    given = argparse.ArgumentParser(description="jobs that are all due at one instant")
    given.add_argument("--jobs", type=int, default=10_000)
    given.add_argument("--replicas", type=int, default=1)
    given.add_argument("--workers", type=int, nargs="+", default=[1])
    given.add_argument("--rounds", type=int, default=5)
    asked = given.parse_args()
    with durable() as ground, receiver() as url:
        rounds = asyncio.run(measure(ground, url, asked))
    for workers, found in zip(asked.workers, rounds, strict=True):
        middle = Round(*(median(getattr(each, name) for each in found) for name in FIELDS))
        print(f"medians of {asked.rounds}, {workers} workers:   {middle}")
    if len(rounds) > 1:
        turns = zip(rounds[0], rounds[-1], strict=True)
        times = sorted(last.calls_per_second / first.calls_per_second for first, last in turns)
        print(
            f"{asked.workers[-1]} workers beside {asked.workers[0]}: {median(times):.2f} times the"
            f" calls, the median of {len(times)} turns ({times[0]:.2f} to {times[-1]:.2f})"
        )


FIELDS = tuple(Round.__dataclass_fields__)

if __name__ == "__main__":
    main()
