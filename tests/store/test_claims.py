"""The claim of waiting runs: at most its limit, by priority and age, never one that is queued."""

import asyncio
from uuid import UUID, uuid4

import pytest

from factories import MORNING_MS
from ledger import HOUR, add_job, due_run, status_of
from plans import PLANS, force
from scheduler_svc.store import claims
from scheduler_svc.store.pool import Connection, Pool, transaction

LATER = MORNING_MS + HOUR


async def _claim(conn: Connection, *, batch: int = 100, replica: UUID | None = None) -> list[UUID]:
    found = await claims.claim_due_runs(
        conn, horizon_ms=MORNING_MS, batch=batch, replica=replica or uuid4(), now_ms=MORNING_MS
    )
    return [run.id for run in found]


@pytest.mark.parametrize("plan", PLANS)
async def test_it_takes_no_more_than_its_limit_under_any_plan(pool: Pool, plan: str) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        for n in range(40):
            await due_run(conn, job, due_ms=MORNING_MS - n, priority=n % 4)
    async with transaction(pool) as conn:
        await conn.execute("ANALYZE runs")
        await force(conn, plan)
        assert len(await _claim(conn, batch=5)) == 5
        assert await conn.fetchval("SELECT count(*) FROM runs WHERE status = 'running'") == 5
        async with transaction(pool) as other:
            assert len(await _claim(other)) == 35


async def test_the_shape_that_is_not_used_takes_more_than_its_limit(pool: Pool) -> None:
    """The control of the test above: it would notice."""
    async with transaction(pool) as conn:
        job = await add_job(conn)
        for n in range(40):
            await due_run(conn, job, due_ms=MORNING_MS - n)
    async with transaction(pool) as conn:
        await conn.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        await conn.execute("SET LOCAL enable_material = off; SET LOCAL enable_hashagg = off")
        await conn.execute("SET LOCAL enable_sort = off")
        taken = await conn.fetch(
            """
            UPDATE runs SET priority = 1 WHERE (scheduled_for, id) IN (
                SELECT scheduled_for, id FROM runs WHERE priority = 0 LIMIT 5
                FOR UPDATE SKIP LOCKED
            ) RETURNING id
            """
        )
    assert len(taken) > 5


async def test_the_higher_priority_goes_first_and_then_the_older(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        old = await due_run(conn, job, due_ms=MORNING_MS - 90, priority=0)
        high = await due_run(conn, job, due_ms=MORNING_MS - 10, priority=9)
        low = await due_run(conn, job, due_ms=MORNING_MS - 99, priority=-9)
        young = await due_run(conn, job, due_ms=MORNING_MS - 5, priority=0)
    taken = []
    for _ in range(4):
        async with transaction(pool) as conn:
            taken += await _claim(conn, batch=1)
    assert taken == [high, old, young, low]


async def test_waiting_rows_of_a_high_priority_hide_nothing_that_is_due(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        for n in range(20):
            await due_run(conn, job, due_ms=LATER + n, priority=100)
        due = await due_run(conn, job, due_ms=MORNING_MS, priority=-100)
        assert await _claim(conn, batch=3) == [due]


async def test_one_that_waits_behind_another_is_not_taken(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        await due_run(conn, job, due_ms=MORNING_MS, queued=True)
        assert await _claim(conn) == []


async def test_one_that_is_due_later_is_not_taken(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        await due_run(conn, job, due_ms=MORNING_MS + 1)
        assert await _claim(conn) == []


async def test_the_claim_raises_the_attempt_and_names_the_replica(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        job = await add_job(conn)
        run = await due_run(conn, job, due_ms=MORNING_MS)
        (claimed,) = await claims.claim_due_runs(
            conn, horizon_ms=MORNING_MS, batch=9, replica=replica, now_ms=MORNING_MS
        )
        assert (claimed.id, claimed.attempt, claimed.fire_ms) == (run, 1, MORNING_MS)
        assert await status_of(conn, run) == ("running", 1, await _due_at(conn, run))
    assert await pool.fetchval("SELECT replica FROM runs") == replica


async def _due_at(conn: Connection, run: UUID) -> object:
    return await conn.fetchval("SELECT next_attempt_at FROM runs WHERE id = $1", run)


async def test_two_claimers_never_share_a_run_and_neither_waits(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        for n in range(10):
            await due_run(conn, job, due_ms=MORNING_MS - n)
    async with transaction(pool) as one, transaction(pool) as two:
        first = await _claim(one, batch=6)
        second = await asyncio.wait_for(_claim(two, batch=6), 2)
    assert len(first) == 6
    assert len(set(first + second)) == len(first + second) == 10


async def test_the_next_instants_are_the_earliest_beyond_a_moment(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn, fire_ms=MORNING_MS)
        await add_job(conn, fire_ms=LATER + 5)
        await due_run(conn, job, due_ms=LATER + 9, priority=50)
        await due_run(conn, job, due_ms=LATER + 7, priority=-50)
        await due_run(conn, job, due_ms=LATER + 1, queued=True)
        await conn.execute("UPDATE job_timers SET fire_at = scheduled_for")
        await conn.execute(
            "UPDATE job_timers SET scheduled_for = $2, fire_at = $2 WHERE job_id = $1",
            job.id,
            None,
        )
        found = await claims.next_instants(conn, after_ms=LATER)
    assert found == claims.NextInstants(LATER + 5, LATER + 7)


async def test_with_nothing_ahead_there_is_no_next_instant(pool: Pool) -> None:
    async with transaction(pool) as conn:
        found = await claims.next_instants(conn, after_ms=MORNING_MS)
    assert found == claims.NextInstants(None, None)
