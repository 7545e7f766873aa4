"""Jobs that are asked for at once: fewer statements, and to each his own answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest

from counting import Statements
from factories import create
from scheduler_svc.store.gathering import BATCH_MAX, LANES
from scheduler_svc.store.job_reads import JobReads
from scheduler_svc.store.pool import Pool, is_database_away, open_pool, transaction

PATIENCE = 10.0


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
async def counted(dsn: str, statements: Statements) -> AsyncIterator[Pool]:
    opened = await open_pool(dsn, application_name="reads", on_statement=statements)
    yield opened
    opened.terminate()


@pytest.fixture
async def own(dsn: str) -> AsyncIterator[Pool]:
    """Connections that only these reads use."""
    opened = await open_pool(dsn, application_name="reads")
    yield opened
    opened.terminate()


@asynccontextmanager
async def jobs_locked(pool: Pool) -> AsyncIterator[None]:
    """Have nobody read a job meanwhile."""
    async with transaction(pool, seconds=PATIENCE) as conn:
        await conn.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        yield


async def wait_for_readers(pool: Pool, count: int) -> None:
    """Return when so many sessions wait for the lock."""
    async with asyncio.timeout(PATIENCE):
        while True:
            waiting = await pool.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'jobs'::regclass"
            )
            if waiting == count:
                return


async def make(http: httpx2.AsyncClient, count: int) -> list[UUID]:
    return [UUID((await create(http, name=f"job-{n}"))["id"]) for n in range(count)]


async def test_who_asks_at_once_is_read_at_once_and_told_of_his_own(
    http: httpx2.AsyncClient, counted: Pool, statements: Statements
) -> None:
    ids = await make(http, 20)
    reads = JobReads(counted)
    asked = [*ids, ids[0], uuid4(), *ids]
    found = await asyncio.gather(*(reads.get_job("default", one) for one in asked))
    assert [None if job is None else job.id for job in found] == [
        one if one in ids else None for one in asked
    ]
    assert statements.names == {"get_jobs_asked": 1}


async def test_a_job_of_another_namespace_is_not_there(http: httpx2.AsyncClient, own: Pool) -> None:
    (mine,) = await make(http, 1)
    reads = JobReads(own)
    job, none = await asyncio.gather(reads.get_job("default", mine), reads.get_job("another", mine))
    assert job is not None
    assert none is None


async def test_the_answer_is_that_of_one_who_asks_alone(
    http: httpx2.AsyncClient, own: Pool
) -> None:
    ids = await make(http, 3)
    await http.post(f"/jobs/{ids[0]}/trigger")
    await http.post(f"/jobs/{ids[1]}/pause", json={"reason": "holiday"})
    together = await asyncio.gather(*(http.get(f"/jobs/{one}") for one in ids))
    by_name = [await http.get(f"/jobs/job-{n}") for n in range(3)]
    assert [one.json() for one in together] == [one.json() for one in by_name]
    assert [one.headers["ETag"] for one in together] == [one.headers["ETag"] for one in by_name]


async def test_who_comes_while_statements_are_under_way_is_read_by_a_later_one(
    http: httpx2.AsyncClient, pool: Pool, counted: Pool, statements: Statements
) -> None:
    ids = await make(http, LANES + BATCH_MAX + 1)
    reads = JobReads(counted)
    async with asyncio.TaskGroup() as callers, jobs_locked(pool):
        under_way = []
        for count, one in enumerate(ids[:LANES], 1):
            under_way.append(callers.create_task(reads.get_job("default", one)))
            await wait_for_readers(pool, count)
        late = [callers.create_task(reads.get_job("default", one)) for one in ids[LANES:]]
        await asyncio.sleep(0)
        assert statements.names.total() == 0
    assert [task.result().id for task in [*under_way, *late]] == ids  # type: ignore[union-attr]
    # One for each lane at first; then the rest: as many as a statement may have, and one more.
    assert statements.names == {"get_jobs_asked": LANES + 2}


async def test_who_asks_again_in_the_moment_of_his_answer_is_answered(
    http: httpx2.AsyncClient, own: Pool
) -> None:
    (one,) = await make(http, 1)
    reads = JobReads(own, lanes=1)
    async with asyncio.timeout(PATIENCE):
        for _ in range(3):
            job = await reads.get_job("default", one)
            assert job is not None


async def test_who_goes_keeps_no_other_from_his_answer(
    http: httpx2.AsyncClient, pool: Pool, own: Pool
) -> None:
    ids = await make(http, 2)
    reads = JobReads(own)
    async with jobs_locked(pool):
        leaves = asyncio.create_task(reads.get_job("default", ids[0]))
        stays = asyncio.create_task(reads.get_job("default", ids[1]))
        await wait_for_readers(pool, 1)
        leaves.cancel()
        await asyncio.wait([leaves])
    assert leaves.cancelled()
    job = await stays
    assert job is not None
    assert job.id == ids[1]


async def test_each_is_told_in_his_own_time_that_the_database_does_not_answer(
    http: httpx2.AsyncClient, pool: Pool, own: Pool
) -> None:
    """Who came later has longer, though what he waited for ended with the time of the first."""
    (one,) = await make(http, 1)
    reads, loop = JobReads(own, seconds=0.6), asyncio.get_running_loop()
    ended: list[float] = []
    over = asyncio.Event()

    async def ask() -> None:
        begun = loop.time()
        with pytest.raises(Exception) as told:  # noqa: PT011 - the next line says which
            await reads.get_job("default", one)
        ended.append(loop.time() - begun)
        over.set()
        assert is_database_away(told.value)

    async with jobs_locked(pool), asyncio.TaskGroup() as callers:
        for turn in range(2 * LANES):
            callers.create_task(ask())
            if turn < LANES:
                await wait_for_readers(pool, turn + 1)
        await over.wait()
        callers.create_task(ask())
    assert len(ended) == 2 * LANES + 1
    assert min(ended) >= 0.6 - 0.01
    assert max(ended) < 0.6 + 0.8  # the second for a busy machine


async def test_a_connection_that_broke_fails_nobody(
    http: httpx2.AsyncClient, pool: Pool, own: Pool
) -> None:
    ids = await make(http, 2)
    reads = JobReads(own)
    async with asyncio.TaskGroup() as callers, jobs_locked(pool):
        found = [callers.create_task(reads.get_job("default", one)) for one in ids]
        await wait_for_readers(pool, 1)
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE NOT granted AND relation = 'jobs'::regclass"
        )
    assert [task.result().id for task in found] == ids  # type: ignore[union-attr]


async def test_a_database_that_refuses_is_told_to_all(own: Pool) -> None:
    reads = JobReads(own)
    await own.execute("ALTER TABLE jobs RENAME TO away")
    try:
        found = await asyncio.gather(
            *(reads.get_job("default", uuid4()) for _ in range(3)), return_exceptions=True
        )
    finally:
        await own.execute("ALTER TABLE away RENAME TO jobs")
    assert {type(one) for one in found} == {asyncpg.UndefinedTableError}
    assert await reads.get_job("default", uuid4()) is None
