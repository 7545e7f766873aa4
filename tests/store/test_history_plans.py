"""What pruning by row costs: looks by key, never the rows of a job that stay, nor a table whole."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from scheduler_svc.store import migrate
from scheduler_svc.store.pool import BY_KEY, Connection, session_settings
from scheduler_svc.store.queries import statement
from seeding import DAYS, NOON, TODAY, explained, seed

JOBS = 200
RUNS = 20_000
PAGE = 50
PARTITIONS = DAYS + 4
LAST = UUID(int=(1 << 128) - 1)


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def conn(request: pytest.FixtureRequest, empty_database: str) -> AsyncIterator[Connection]:
    """A connection as the engine opens it, to a history of a hundred runs a job."""
    await migrate.migrate(empty_database)
    settings = session_settings(
        application_name="plans",
        statement_timeout_ms=0,
        lock_timeout_ms=0,
        idle_in_transaction_ms=0,
    )
    opened = await asyncpg.connect(
        empty_database,
        server_settings=settings | dict(BY_KEY) | {"plan_cache_mode": request.param},
    )
    await seed(opened, jobs=JOBS, runs=RUNS)
    await opened.execute("ANALYZE")
    yield opened
    await opened.close()


async def test_the_jobs_that_have_history_are_found_without_reading_it(conn: Connection) -> None:
    told = await explained(conn, statement("histories"), [UUID(int=0), PAGE])
    assert told.whole == []
    assert told.read <= PAGE * (PARTITIONS + 3)


async def test_counting_back_reads_what_is_counted(conn: Connection) -> None:
    job_id = await conn.fetchval("SELECT job_id FROM runs WHERE status = 'succeeded' LIMIT 1")
    told = await explained(conn, statement("nth_newest"), [job_id, 20])
    assert told.whole == []
    assert told.read <= 21 + PARTITIONS + 10


async def test_deleting_a_batch_reads_a_batch(conn: Connection) -> None:
    job_id = await conn.fetchval("SELECT job_id FROM runs WHERE status = 'succeeded' LIMIT 1")
    args = [job_id, TODAY, LAST, NOON, 10]
    told = await explained(conn, statement("prune_runs"), args)
    assert told.whole == []
    assert told.read <= 20 + PARTITIONS + 10


@pytest.mark.parametrize("name", ["asked_ages", "any_retention"])
async def test_who_asks_for_anything_is_known_without_reading_the_jobs(
    conn: Connection, name: str
) -> None:
    await conn.execute(
        'UPDATE jobs SET definition = (definition::jsonb || \'{"retention": {"age": "3d"}}\')::json'
        " WHERE name = 'job-7'"
    )
    told = await explained(conn, statement(name), [])
    assert told.whole == []
    assert told.read <= 5
