"""Days of history by the million, made in seconds: what benchmarks of a large ledger begin with.

A day is filled as a table by itself, indexed at the end and attached, so that each row is written
once and each index sorted once.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from scheduler_svc.store.partitions import partition_name
from scheduler_svc.store.pool import Connection

ENDED = """
    SELECT count(*) FROM runs WHERE scheduled_for >= $1 AND status NOT IN ('due', 'running')
"""
FIGURES = """
    SELECT count(*) AS runs,
        percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS p50,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS p99,
        max(lateness_ms) AS most
    FROM runs WHERE trigger = 'schedule' AND scheduled_for >= $1 AND scheduled_for < $2
        AND status = 'succeeded'
"""


async def fill_day(
    conn: Connection, day: date, *, runs: int, jobs: int = 10_000, logged: bool = True
) -> str:
    """Make a day that holds so many ended runs of so many jobs; return its partition.

    One that is not logged is filled faster, and dropped in the same way.
    """
    name = partition_name(day)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    bounds = (first.isoformat(), (first + timedelta(days=1)).isoformat())
    kind = "TABLE" if logged else "UNLOGGED TABLE"
    await conn.execute(f"CREATE {kind} {name} (LIKE runs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await conn.execute(
        f"""
        INSERT INTO {name} (id, scheduled_for, job_id, namespace, trigger, status, reason,
            attempt_count, claimed_at, started_at, finished_at, lateness_ms, duration_ms, attempts)
        SELECT gen_random_uuid(), at, lpad(to_hex(n % $2::integer), 32, '0')::uuid, 'default',
            'schedule', CASE WHEN n % 30 = 0 THEN 'failed' ELSE 'succeeded' END,
            CASE WHEN n % 30 = 0 THEN 'attempts' END, 1, at, at, at, 3, 20,
            ARRAY[CASE WHEN n % 30 = 0
                THEN '{{"number":1,"started_at":"2026-01-05T08:00:00Z","duration_ms":20,'
                    '"outcome":"http_error","status_code":503,"error":null}}'
                ELSE '{{"number":1,"started_at":"2026-01-05T08:00:00Z","duration_ms":20,'
                    '"outcome":"ok","status_code":200,"error":null}}' END]
        FROM generate_series(0, $1::integer - 1) AS n,
            LATERAL (SELECT $3::timestamptz + n * (interval '1 day' / $1::integer) AS at) AS then_
        """,
        runs,
        jobs,
        first,
        timeout=3600,
    )
    await conn.execute("SET maintenance_work_mem = '1GB'")
    await conn.execute(
        f"ALTER TABLE runs ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')",
        timeout=3600,
    )
    await conn.execute("RESET maintenance_work_mem")
    return name


async def ended_since(conn: Connection, since: datetime, *, runs: int, seconds: float) -> None:
    """Wait until so many runs due since then have ended, without reading what is older."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await conn.fetchval(ENDED, since) < runs:  # noqa: ASYNC110
                await asyncio.sleep(1)


async def lateness(conn: Connection, since: datetime, until: datetime) -> str:
    """Say how late what was due in a while was sent, by the ledger."""
    row = await conn.fetchrow(FIGURES, since, until)
    assert row is not None
    return (
        f"{row['runs']:7,} fires: lateness p50 {row['p50']} p99 {row['p99']} max {row['most']} ms"
    )
