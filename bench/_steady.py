"""Jobs that fire at an even pace, and what a while of it costs: shared by the long benchmarks.

A while is read at its two ends, so that a question of ours is in none. Lateness is the ledger's.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, used

from fleet import Replica
from scheduler_svc.domain.drift import versions
from scheduler_svc.store.pool import Connection

SETTLING_SECONDS = 1.5
"""Given to the last runs of a while to end, before the ledger is asked."""
STORED_A_SECOND = 10_000
BODY = {"n": "x" * 192}
EVENLY = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, date_trunc('milliseconds', now()
            + ($2::float8 + $3::float8 * n / $1::integer) * interval '1 second') AS at
        FROM generate_series(0, $1::integer - 1) AS n
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, $5, NULL, '', '{}', ($4::jsonb || jsonb_build_object('schedule',
            jsonb_build_object('every', round($3::numeric * 1000) || 'ms',
                'anchor', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))::json,
            'active', NULL, 1, at - $3::float8 * interval '1 second', now()
        FROM planned
    ),
    expected AS (INSERT INTO job_expectations SELECT id, $6, ARRAY[at], NULL FROM planned),
    armed AS (INSERT INTO job_timers SELECT id, at, at, 1 FROM planned)
    SELECT min(at) FROM planned
"""
FAR_OFF = """
    WITH planned AS (
        SELECT gen_random_uuid() AS id, n, CASE n % 2 WHEN 0 THEN at
            ELSE date_trunc('minute', at) END AS at
        FROM generate_series(0, $1::integer - 1) AS n, LATERAL (
            SELECT date_trunc('milliseconds', clock_timestamp()
                + $5::float8 * interval '1 hour' + interval '7 days' * n / $1::integer) AS at
        ) AS then_
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, $4, NULL, '', '{}', ($2::jsonb || jsonb_build_object('schedule',
            CASE n % 2 WHEN 0 THEN jsonb_build_object('every', '7d',
                'anchor', to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
            ELSE jsonb_build_object('cron', to_char(at, 'FMMI FMHH24 FMDD FMMM') || ' *') END
            ))::json, 'active', NULL, 1, now(), now()
        FROM planned
    ),
    expected AS (
        INSERT INTO job_expectations
        SELECT id, $3, ARRAY[at], CASE n % 2 WHEN 1 THEN at END FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""
READ = """
    SELECT clock_timestamp() AS at, pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS wal,
        xact_commit, blks_hit + blks_read AS blocks
    FROM pg_stat_database WHERE datname = current_database()
"""
FIGURES = """
    SELECT count(*) AS fires, coalesce(min(lateness_ms), 0) AS least,
        coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms), -1) AS p50,
        coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms), -1) AS p99,
        coalesce(max(lateness_ms), -1) AS most
    FROM runs WHERE scheduled_for >= $1 AND scheduled_for < $2 AND namespace = $3
        AND trigger = 'schedule' AND status = 'succeeded'
"""
LEFT = """
    SELECT pg_table_size('job_timers') AS table, pg_indexes_size('job_timers') AS indexes,
        (SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'job_timers') AS dead,
        (
            SELECT sum(pg_total_relation_size(i.inhrelid))::float8
                / greatest(1, sum(s.n_live_tup))
            FROM pg_inherits AS i JOIN pg_stat_user_tables AS s ON s.relid = i.inhrelid
            WHERE i.inhparent = 'runs'::regclass AND s.n_live_tup > 0
        ) AS run
"""


@dataclass(frozen=True)
class Stand:
    """What a while is read of; the connection looks at the ledger."""

    ground: Ground
    conn: Connection
    fleet: list[Replica]
    namespace: str = "default"


@dataclass(frozen=True)
class Reading:
    """The counters at one instant of the database's clock; processor time in seconds."""

    at: datetime
    ours: float
    server: float
    wal: float
    transactions: float
    blocks: float


@dataclass(frozen=True)
class While:
    """What a while came to; processor time in microseconds a fire."""

    seconds: float
    fires: int
    least_ms: int
    p50_ms: int
    p99_ms: int
    most_ms: int
    ours_us: float
    server_us: float
    wal_bytes: float
    transactions: float
    blocks: float

    @property
    def cpu_us(self) -> float:
        """Return what a fire took of processors in all."""
        return self.ours_us + self.server_us

    def __str__(self) -> str:
        early = "" if self.least_ms >= 0 else f"   EARLY by {-self.least_ms} ms"
        return (
            f"{self.fires / self.seconds:7,.0f} fires/s   late p50 {self.p50_ms} p99"
            f" {self.p99_ms:,} max {self.most_ms:,} ms{early}   a fire {self.ours_us:.0f} us ours,"
            f" {self.server_us:.0f} us PostgreSQL, {self.wal_bytes:,.0f} B of WAL,"
            f" {self.transactions:.2f} transactions, {self.blocks:.1f} blocks"
        )


async def evenly(
    conn: Connection,
    url: str,
    *,
    jobs: int,
    period: float,
    begin: float | None = None,
    namespace: str = "default",
) -> datetime:
    """Store jobs that all fire once in a period, each at an instant of its own; return the first.

    It comes when all are stored, if nothing is said. The timers are analysed, as they would have
    been by the time they are so many.
    """
    begin = 3 + jobs / STORED_A_SECOND if begin is None else begin
    target = json.dumps({"target": {"url": url, "body": BODY}})
    first: datetime = await conn.fetchval(
        EVENLY, jobs, begin, float(period), target, namespace, versions(), timeout=600
    )
    await conn.execute("ANALYZE jobs, job_timers")
    await conn.execute("SELECT pg_notify('scheduler', 'wake 0')")
    return first


async def until(conn: Connection, first: datetime, *, seconds: float) -> None:
    """Sleep until so long after an instant of the database's clock."""
    now: datetime = await conn.fetchval("SELECT clock_timestamp()")
    await asyncio.sleep(max(0.0, (first - now).total_seconds() + seconds))


async def far_off(
    conn: Connection, url: str, *, jobs: int, hours: float, namespace: str = "default"
) -> None:
    """Store jobs, half `cron` and half `every`, that are due in the week that begins in so long."""
    target = json.dumps({"target": {"url": url, "body": BODY}})
    await conn.execute(FAR_OFF, jobs, target, versions(), namespace, hours, timeout=3600)


async def read(stand: Stand) -> Reading:
    """Read the counters."""
    row = await stand.conn.fetchrow(READ)
    assert row is not None
    return Reading(
        row["at"],
        sum(used(one.program.pid) for one in stand.fleet),
        stand.ground.cpu_seconds(),
        float(row["wal"]),
        float(row["xact_commit"]),
        float(row["blocks"]),
    )


async def pass_by(stand: Stand, seconds: float) -> While:
    """Let a while go by, and tell what it came to; its last runs are given time to end."""
    before = await read(stand)
    await asyncio.sleep(seconds)
    after = await read(stand)
    await asyncio.sleep(SETTLING_SECONDS)
    row = await stand.conn.fetchrow(
        FIGURES, before.at, after.at, stand.namespace, timeout=max(60.0, seconds)
    )
    assert row is not None
    fires = max(1, row["fires"])
    return While(
        seconds=(after.at - before.at).total_seconds(),
        fires=row["fires"],
        least_ms=row["least"],
        p50_ms=row["p50"],
        p99_ms=row["p99"],
        most_ms=row["most"],
        ours_us=(after.ours - before.ours) * 1e6 / fires,
        server_us=(after.server - before.server) * 1e6 / fires,
        wal_bytes=(after.wal - before.wal) / fires,
        transactions=(after.transactions - before.transactions) / fires,
        blocks=(after.blocks - before.blocks) / fires,
    )


def resident_mib(fleet: list[Replica]) -> float:
    """Return the memory of the replicas, in MiB."""
    resident = [psutil.Process(one.program.pid).memory_info().rss for one in fleet]
    return float(sum(resident)) / 2**20


async def parts(stand: Stand, *, seconds: float, part: float) -> list[While]:
    """Let parts of a while go by, each printed with what it left behind; return them."""
    found: list[While] = []
    for number in range(1, max(1, round(seconds / part)) + 1):
        found.append(await pass_by(stand, part - SETTLING_SECONDS))
        row = await stand.conn.fetchrow(LEFT)
        assert row is not None
        print(f"{number * part:6.0f} s {found[-1]}")
        print(
            f"         timers {row['table'] / 2**20:.1f} MiB, indexes"
            f" {row['indexes'] / 2**20:.1f} MiB, {row['dead']:,} rows dead;"
            f" a run takes {row['run']:.0f} B; memory {resident_mib(stand.fleet):.0f} MiB",
            flush=True,
        )
    return found


def ratios(last: While, first: While) -> str:
    """Say how many times the one the other cost."""
    return (
        f"processor {last.cpu_us / first.cpu_us:.2f} times (ours"
        f" {last.ours_us / first.ours_us:.2f}, PostgreSQL {last.server_us / first.server_us:.2f}),"
        f" WAL {last.wal_bytes / first.wal_bytes:.2f}, blocks {last.blocks / first.blocks:.2f};"
        f" p99 {first.p99_ms} ms then {last.p99_ms} ms"
    )
