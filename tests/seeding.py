"""A database as it is after months: many jobs, days of history, and work in flight."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import partitions
from scheduler_svc.store.pool import Connection

TODAY = datetime(2026, 1, 5, tzinfo=UTC)
NOON = TODAY + timedelta(hours=12)
NOON_MS = int(NOON.timestamp() * 1000)
DAYS = 5
BATCH = 500
REPLICA = UUID(int=1)
TABLES = ("job_timers", "runs")


async def seed(conn: Connection, *, jobs: int, runs: int) -> None:
    """Fill an empty, migrated database; `runs` are of the days before today, which is noon.

    One timer in a hundred is due. Today's partition is new: it holds what is in flight alone.
    """
    for day in range(DAYS + 1):
        await partitions.ensure(conn, today=(TODAY - timedelta(days=day)).date(), ahead=1)
    await conn.execute(
        """
        INSERT INTO jobs SELECT gen_random_uuid(), 'default', 'job-' || n, '', '{}',
            '{"schedule": {"every": "1d"}, "target": {"url": "http://127.0.0.1/"}}',
            'active', NULL, 1, $2, $2 FROM generate_series(1, $1::integer) AS n
        """,
        jobs,
        TODAY - timedelta(days=DAYS),
    )
    await conn.execute(
        """
        INSERT INTO job_timers
        SELECT id, at, at, 1 FROM (
            SELECT id, $2::timestamptz + (row_number() OVER () - $1::integer / 100)
                * (interval '1 day' / $1::integer) AS at
            FROM jobs
        ) AS spread_out
        """,
        jobs,
        NOON,
    )
    await conn.execute(
        """
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, reason,
            attempt_count, claimed_at, started_at, finished_at, lateness_ms, duration_ms, attempts)
        WITH numbered AS (SELECT id, row_number() OVER () AS n FROM jobs),
        past AS (
            SELECT n, $2::timestamptz - n * (interval '1 day' * $3::integer / $1::integer) AS at
            FROM generate_series(1, $1::integer) AS n
        )
        SELECT gen_random_uuid(), at, numbered.id, 'default', 'schedule',
            CASE WHEN past.n % 30 = 0 THEN 'failed' ELSE 'succeeded' END,
            CASE WHEN past.n % 30 = 0 THEN 'attempts' END, 1, at, at, at, 3, 20,
            ARRAY['{"number":1,"outcome":"ok","status_code":200}']
        FROM past JOIN numbered ON numbered.n = 1 + past.n % (SELECT count(*) FROM jobs)
        """,
        runs,
        TODAY,
        DAYS,
    )
    await _in_flight(conn)


async def _in_flight(conn: Connection) -> None:
    """Let a replica work on two batches, and four batches wait at five levels of priority."""
    await conn.execute(
        """
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, attempt_count,
            priority, replica, claimed_at, next_attempt_at)
        SELECT gen_random_uuid(), $1::timestamptz - n * interval '1 ms', id, 'default', 'schedule',
            CASE WHEN n <= $2 * 2 THEN 'running' ELSE 'due' END, 1, n % 5,
            CASE WHEN n <= $2 * 2 THEN $3::uuid END, $1,
            $1::timestamptz + (n % 40 - 30) * interval '1 s'
        FROM (SELECT id, row_number() OVER () AS n FROM jobs LIMIT $2 * 6) AS few
        """,
        NOON,
        BATCH,
        REPLICA,
    )


@dataclass
class Told:
    """What a plan did, by its own account."""

    buffers: int
    read: int
    """Rows that scans of tables looked at, those filtered away included."""
    whole: list[str]
    """The tables that were read from end to end."""
    ms: float


async def explained(conn: Connection, sql: str, args: Sequence[Any]) -> Told:
    """Run a statement and read what its plan did; nothing of it stays."""
    work = conn.transaction()
    await work.start()
    try:
        text = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
    finally:
        await work.rollback()
    (root,) = json.loads(text)
    nodes = list(_nodes(root["Plan"]))
    return Told(
        buffers=root["Plan"]["Shared Hit Blocks"] + root["Plan"]["Shared Read Blocks"],
        read=sum(_looked_at(node) for node in nodes if "Relation Name" in node),
        whole=[node["Relation Name"] for node in nodes if _is_whole(node)],
        ms=root["Execution Time"],
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


def _is_whole(node: dict[str, Any]) -> bool:
    return bool(node["Node Type"] == "Seq Scan" and node["Actual Loops"])


def _looked_at(node: dict[str, Any]) -> int:
    if node["Node Type"] in {"ModifyTable", "Bitmap Heap Scan"}:
        return 0
    away = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node.get("Actual Rows", 0) + away) * node.get("Actual Loops", 0))


def soon(ms: int = 0) -> datetime:
    """Return noon and so many milliseconds."""
    return instant_at(NOON_MS + ms)
