"""Replicas as real processes on one database, and what a run of them is judged by.

The judge knows nothing of the engine: it compares what was asked for with the ledger and with what
the sink saw.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from commands import COMMAND, Program, free_port, program
from scheduler_svc.store.pool import Connection
from sink import Taken

ENVIRONMENT = {
    "SCHEDULER_PROFILE": "development",
    "SCHEDULER_LOG_FORMAT": "json",
    "SCHEDULER_LOG_LEVEL": "warning",
}


@asynccontextmanager
async def replica(dsn: str, **settings: str) -> AsyncIterator["Replica"]:
    """Run the shipped command on a database until the block ends; it is killed if it still runs."""
    port = free_port()
    env = {"DATABASE_URL": dsn, "SCHEDULER_PORT": str(port)} | ENVIRONMENT
    env |= {f"SCHEDULER_{name.upper()}": value for name, value in settings.items()}
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API http")
        yield Replica(running, port)


@dataclass(frozen=True)
class Replica:
    """One process of the service."""

    program: Program
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[Connection]:
    """Connect to look at the ledger."""
    conn = await asyncpg.connect(dsn, timeout=10, server_settings={"timezone": "UTC"})
    try:
        yield conn
    finally:
        await conn.close()


async def schedule(
    conn: Connection,
    url: str,
    *,
    jobs: int,
    begin_seconds: float,
    over_seconds: float,
    **definition: Any,
) -> None:
    """Store jobs of one instant each, spread evenly over a while that begins so soon."""
    await conn.execute(
        SCHEDULE,
        jobs,
        begin_seconds,
        over_seconds,
        json.dumps({"target": {"url": url}} | definition),
    )
    await conn.execute("SELECT pg_notify('scheduler', 'wake 0')")


SCHEDULE = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, date_trunc('milliseconds', clock_timestamp()
            + ($2::float8 + $3::float8 * n / $1::integer) * interval '1 second') AS at
        FROM generate_series(0, $1::integer - 1) AS n
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, 'default', NULL, '', '{}', ($4::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('at', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, now(), now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""


@dataclass(frozen=True)
class Verdict:
    """What became of a number of jobs of one instant each."""

    jobs: int
    lost: int
    """Occurrences without a run, or with one that has not ended."""
    early: int
    """Calls before their instant, by the database's clock."""
    doubled: int
    """Calls beyond what the attempts of their run explain."""
    repeated: int
    """Runs with more calls than one."""
    failed: int
    lateness_ms: Sequence[float]
    shares: Mapping[UUID, int]

    def late(self, share: float) -> float:
        """Return the lateness that this share of the first calls did not exceed."""
        return self.lateness_ms[min(len(self.lateness_ms) - 1, int(share * self.jobs))]

    def __str__(self) -> str:
        shares = " ".join(str(count) for count in self.shares.values())
        return (
            f"{self.jobs} jobs: lost {self.lost}, early {self.early}, doubled {self.doubled},"
            f" sent more than once {self.repeated}, failed {self.failed};"
            f" lateness p50 {self.late(0.5):.1f} p99 {self.late(0.99):.1f}"
            f" max {self.lateness_ms[-1]:.1f} ms; share of each replica {shares}"
        )


async def judged(conn: Connection, taken: Sequence[Taken]) -> Verdict:
    """Compare jobs, ledger and calls; the machine's clock is corrected to the database's."""
    apart_ms = await _apart_ms(conn)
    jobs = await conn.fetch("SELECT id FROM jobs")
    runs = {row["id"]: row for row in await conn.fetch("SELECT * FROM runs")}
    of_job = Counter(row["job_id"] for row in runs.values())
    ended = {row["job_id"] for row in runs.values() if row["status"] not in {"due", "running"}}
    calls = Counter(call.run for call in taken)
    first = {call.run: call for call in sorted(taken, key=lambda one: one.at_ms, reverse=True)}
    return Verdict(
        jobs=len(jobs),
        lost=sum(of_job[job["id"]] != 1 or job["id"] not in ended for job in jobs),
        early=sum(call.at_ms + apart_ms < call.scheduled_ms for call in taken),
        doubled=sum(
            count > runs[run]["attempt_count"] if run in runs else count
            for run, count in calls.items()
        ),
        repeated=sum(count > 1 for count in calls.values()),
        failed=sum(row["status"] != "succeeded" for row in runs.values()),
        lateness_ms=sorted(call.at_ms + apart_ms - call.scheduled_ms for call in first.values()),
        shares=Counter(row["replica"] for row in runs.values()),
    )


async def _apart_ms(conn: Connection) -> float:
    """Return how far the database's clock is ahead of this machine's, by the quickest answer."""
    best = (float("inf"), 0.0)
    for _ in range(20):
        before = time.time()
        now = (await conn.fetchval("SELECT clock_timestamp()")).timestamp()
        after = time.time()
        best = min(best, (after - before, (now - (before + after) / 2) * 1000))
    return best[1] + best[0] * 500


async def all_ended(conn: Connection, *, jobs: int, seconds: float) -> None:
    """Wait until so many runs have ended; the judge says what is missing after the time."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            # Rows that other processes write: there is no event to wait for.
            while await conn.fetchval(ENDED) < jobs:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


ENDED = "SELECT count(*) FROM runs WHERE status NOT IN ('due', 'running')"
