"""A crowd of one namespace beside on-time jobs of another, over a process and real sockets."""

import asyncio
import json

import pytest

from fleet import database, replica
from sink import sinking

CROWD, OTHERS = 3000, 40
LATE_MS_MAX = 2000
"""Where nothing else is to do it is some tens of milliseconds; see bench/crowd.py."""
DUE = """
    WITH instant AS (
        SELECT date_trunc('milliseconds', clock_timestamp()) + interval '3 seconds' AS begin
    ),
    planned AS (
        SELECT gen_random_uuid() AS id, n,
            begin + $3::float8 * n / $2::integer * interval '1 second' AS at
        FROM generate_series(0, $2::integer - 1) AS n, instant
    ),
    made AS (
        INSERT INTO jobs
        SELECT id, $1, NULL, '', '{}', json_build_object(
            'target', $4::jsonb || jsonb_build_object('concurrency_key', 'k' || n % 20),
            'schedule', json_build_object('at', to_char(at AT TIME ZONE 'UTC',
                'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))),
            'active', NULL, 1, now(), now()
        FROM planned
    )
    INSERT INTO job_timers SELECT id, at, at, 1 FROM planned
"""
LATEST = "SELECT max(lateness_ms) FROM runs WHERE namespace = 'other'"
LEFT = """
    SELECT count(*) FROM jobs AS j WHERE j.namespace = 'crowd' AND NOT EXISTS (
        SELECT 1 FROM runs AS r WHERE r.job_id = j.id AND r.status NOT IN ('due', 'running')
    )
"""
"""What has not ended, whether it is left with its timer or written as a run that waits."""

pytestmark = pytest.mark.timeout(120)


@pytest.mark.slow
async def test_thousands_due_at_once_in_one_namespace_delay_no_job_of_another(dsn: str) -> None:
    async with database(dsn) as ledger, sinking() as sink, replica(dsn, slots="200"):
        slow, quick = json.dumps({"url": sink.url("/wait/2000")}), sink.url("/")
        await ledger.execute(DUE, "crowd", CROWD, 0.0, slow)
        await ledger.execute(DUE, "other", OTHERS, 3.0, json.dumps({"url": quick}))
        await ledger.execute("SELECT pg_notify('scheduler', 'wake 0')")
        others = "SELECT count(*) FROM runs WHERE namespace = 'other' AND status = 'succeeded'"
        async with asyncio.timeout(60):
            # Rows that another process writes: there is no event to wait for.
            while await ledger.fetchval(others) < OTHERS:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert await ledger.fetchval(LATEST) <= LATE_MS_MAX
        assert await ledger.fetchval(LEFT) > CROWD // 2  # the crowd is there still
