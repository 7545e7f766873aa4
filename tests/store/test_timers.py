"""The claim of timers: at most its limit, never shared, runs and timers moved together or not."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from factories import MORNING_MS
from ledger import HOUR, a_run, add_job, due_run, write
from plans import PLANS, force
from scheduler_svc.domain.decide import Decision, PlannedJob, Timer
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.store import timers
from scheduler_svc.store.pool import Connection, Pool, transaction
from scheduler_svc.store.queries import statement
from scheduler_svc.store.timers import Contested, Mark, Plain

BEGINNING = Mark()
A_LOOK_MS = MORNING_MS + 1000


async def _locked_elsewhere(pool: Pool, table: str) -> int:
    """Count the rows of a table that some open transaction holds."""
    async with transaction(pool) as conn:
        free = await conn.fetch(f"SELECT 1 FROM {table} FOR UPDATE SKIP LOCKED")
        total: int = await conn.fetchval(f"SELECT count(*) FROM {table}")
        return total - len(free)


async def _lock(
    conn: Connection, *, batch: int = 100, after: Mark = BEGINNING, horizon_ms: int = A_LOOK_MS
) -> list[Timer]:
    return await timers.lock_due(conn, after, horizon_ms=horizon_ms, batch=batch)


@pytest.mark.parametrize("plan", PLANS)
async def test_the_claim_locks_no_more_than_its_limit_under_any_plan(pool: Pool, plan: str) -> None:
    async with transaction(pool) as conn:
        for n in range(30):
            await add_job(conn, fire_ms=MORNING_MS + n)
    async with transaction(pool) as conn:
        await conn.execute("ANALYZE job_timers")
        await force(conn, plan)
        assert len(await _lock(conn, batch=5)) == 5
        assert await _locked_elsewhere(pool, "job_timers") == 5


async def test_the_earliest_are_claimed_first(pool: Pool) -> None:
    async with transaction(pool) as conn:
        for n in (5, 1, 4, 2, 3):
            await add_job(conn, fire_ms=MORNING_MS + n)
        found = await _lock(conn, batch=3)
    assert [timer.fire_ms - MORNING_MS for timer in found] == [1, 2, 3]


async def test_nothing_beyond_the_horizon_is_claimed_and_the_horizon_itself_is(
    pool: Pool,
) -> None:
    async with transaction(pool) as conn:
        await add_job(conn, fire_ms=A_LOOK_MS)
        await add_job(conn, fire_ms=A_LOOK_MS + 1)
        assert [timer.fire_ms for timer in await _lock(conn)] == [A_LOOK_MS]


async def test_a_scan_goes_on_behind_its_mark_without_gap_or_repeat(pool: Pool) -> None:
    async with transaction(pool) as conn:
        for n in range(20):
            await add_job(conn, fire_ms=MORNING_MS + n // 7)  # several share an instant
        seen: list[UUID] = []
        mark = Mark()
        while found := await _lock(conn, batch=3, after=mark):
            seen += [timer.job_id for timer in found]
            mark = Mark(found[-1].fire_ms, found[-1].job_id)
    assert len(seen) == len(set(seen)) == 20


async def test_two_claimers_never_share_a_timer_and_neither_waits(pool: Pool) -> None:
    async with transaction(pool) as conn:
        for n in range(10):
            await add_job(conn, fire_ms=MORNING_MS + n)
    async with transaction(pool) as one, transaction(pool) as two:
        first = await _lock(one, batch=6)
        second = await asyncio.wait_for(_lock(two, batch=6), 2)
    ids = [timer.job_id for timer in first + second]
    assert len(first) == 6
    assert len(ids) == len(set(ids)) == 10


async def test_many_claimers_at_once_share_ten_thousand_timers_without_overlap(
    pool: Pool,
) -> None:
    async with transaction(pool) as conn:
        await conn.execute(
            """
            INSERT INTO jobs SELECT gen_random_uuid(), 'default', NULL, '', '{}', '{}', 'active',
                NULL, 1, now(), now() FROM generate_series(1, 2000)
            """
        )
        await conn.execute(
            "INSERT INTO job_timers SELECT id, $1, $1, 1 FROM jobs", instant_at(MORNING_MS)
        )
    taken: list[UUID] = []

    async def claimer() -> None:
        while True:
            async with transaction(pool) as conn:
                found = await _lock(conn, batch=50)
                if not found:
                    return
                ids = [timer.job_id for timer in found]
                await conn.execute(
                    "UPDATE job_timers SET fire_at = $2 WHERE job_id = ANY ($1::uuid[])",
                    ids,
                    instant_at(MORNING_MS + HOUR),
                )
                taken.extend(ids)

    await asyncio.gather(*(claimer() for _ in range(4)))
    assert len(taken) == len(set(taken)) == 2000


async def test_a_claim_that_is_not_committed_leaves_timer_and_ledger_as_they_were(
    pool: Pool,
) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
    with pytest.raises(KeyError):  # noqa: PT012 - the block is what dies
        async with transaction(pool) as conn:
            await _lock(conn)
            await write(conn, job, a_run(job), replica=uuid4())
            raise KeyError
    assert await pool.fetchval("SELECT fire_at FROM job_timers") == instant_at(MORNING_MS)
    assert await pool.fetchval("SELECT count(*) FROM runs") == 0


async def test_timers_and_runs_move_in_one_statement(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        job = await add_job(conn, priority=7, name="nightly")
        assert await write(conn, job, a_run(job), replica=replica) == {run_id(job.id, MORNING_MS)}
    row = await pool.fetchrow("SELECT * FROM runs")
    assert row is not None
    assert (row["status"], row["replica"], row["attempt_count"]) == ("running", replica, 1)
    assert (row["priority"], row["job_name"], row["namespace"]) == (7, "nightly", "default")
    assert row["claimed_at"] == instant_at(MORNING_MS)
    assert await pool.fetchval("SELECT runs_made FROM job_timers") == 1


def _plain(job: PlannedJob, at_ms: int = MORNING_MS) -> Plain:
    claim = timers.claim_of(job.id, at_ms)
    rule = job.definition
    return Plain(claim, rule.name, job.namespace, rule.priority, at_ms + HOUR, 1)


async def _write_plain(pool: Pool, jobs: list[PlannedJob]) -> None:
    async with transaction(pool) as conn:
        claims = [_plain(job) for job in jobs]
        await timers.write_plain(conn, claims, replica=uuid4(), now_ms=MORNING_MS)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("differ", [False, True])
async def test_plain_claims_are_written_as_decisions_are(
    pool: Pool, plan: str, differ: bool
) -> None:
    """Whether the batch has its instants, priorities, names and namespaces in common or not."""
    kinds: list[dict[str, Any]] = [
        {"name": f"job-{n}" if n % 2 else None, "priority": n % 4 - 1} for n in range(10)
    ]
    replica = uuid4()

    async def written(*, plainly: bool) -> list[Any]:
        async with transaction(pool) as conn:
            await conn.execute("TRUNCATE jobs, job_timers, runs CASCADE")
            jobs = [await add_job(conn, **kind if differ else {}) for kind in kinds]
            if differ:
                jobs = [replace(job, namespace=f"of-{n % 3}") for n, job in enumerate(jobs)]
            at = [MORNING_MS + n // 2 * differ for n in range(10)]
            await force(conn, plan)
            if plainly:
                claims = [_plain(job, ms) for job, ms in zip(jobs, at, strict=True)]
                await timers.write_plain(conn, claims, replica=replica, now_ms=MORNING_MS)
            else:
                for job, ms in zip(jobs, at, strict=True):
                    await write(conn, job, a_run(job, ms), replica=replica, next_ms=ms + HOUR)
            order = {job.id: n for n, job in enumerate(jobs)}
            rows = await conn.fetch(
                "SELECT r.*, t.scheduled_for AS following, t.fire_at, t.runs_made"
                " FROM runs AS r JOIN job_timers AS t USING (job_id)"
            )
            assert all(
                row["id"] == run_id(row["job_id"], epoch_ms(row["scheduled_for"])) for row in rows
            )
            told = {order[r["job_id"]]: dict(r) | {"id": None, "job_id": None} for r in rows}
            return [told[n] for n in range(10)]

    assert await written(plainly=True) == await written(plainly=False)


async def test_plain_claims_of_which_one_is_in_the_ledger_leave_all_as_it_was(pool: Pool) -> None:
    async with transaction(pool) as conn:
        jobs = [await add_job(conn) for _ in range(3)]
        await write(conn, jobs[1], a_run(jobs[1]), replica=uuid4(), next_ms=MORNING_MS)
    before = await pool.fetch("SELECT * FROM job_timers ORDER BY job_id")
    with pytest.raises(Contested):
        await _write_plain(pool, jobs)
    assert await pool.fetch("SELECT * FROM job_timers ORDER BY job_id") == before
    assert await pool.fetchval("SELECT count(*) FROM runs") == 1


async def test_a_plain_claim_whose_timer_is_gone_is_contested(pool: Pool) -> None:
    async with transaction(pool) as conn:
        jobs = [await add_job(conn) for _ in range(3)]
        await conn.execute("DELETE FROM job_timers WHERE job_id = $1", jobs[2].id)
    with pytest.raises(Contested):
        await _write_plain(pool, jobs)
    assert await pool.fetchval("SELECT count(*) FROM runs") == 0


async def test_an_occurrence_can_not_have_two_runs(pool: Pool) -> None:
    one, two = uuid4(), uuid4()
    async with transaction(pool) as conn:
        job = await add_job(conn)
        run = a_run(job)
        assert await write(conn, job, run, replica=one) == {run.id}
        assert await write(conn, job, run, replica=two) == set()
    assert [tuple(r) for r in await pool.fetch("SELECT id, replica FROM runs")] == [(run.id, one)]


async def test_two_claims_of_one_occurrence_at_once_make_one_run(pool: Pool) -> None:
    """The second waits for the first to commit, and then finds that it is there."""
    async with transaction(pool) as conn:
        job = await add_job(conn)
    run = a_run(job)

    async def insert(conn: Connection) -> set[UUID]:
        decision = Decision(job, None, None, 1, [run])
        bare = Decision(job, None, None, 1, [])
        assert await timers.write_decisions(conn, [bare], replica=uuid4(), now_ms=0) == set()
        return await timers.write_decisions(conn, [decision], replica=uuid4(), now_ms=MORNING_MS)

    async def alone() -> set[UUID]:
        async with transaction(pool) as conn:
            return await insert(conn)

    found = await asyncio.gather(alone(), alone(), alone())
    assert sorted(map(len, found)) == [0, 0, 1]
    assert await pool.fetchval("SELECT count(*) FROM runs") == 1


async def test_the_database_itself_refuses_a_second_row_of_an_id(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        await write(conn, job, a_run(job), replica=uuid4())
    with pytest.raises(asyncpg.UniqueViolationError):
        await pool.execute("INSERT INTO runs SELECT * FROM runs")


async def test_the_open_runs_of_jobs_are_those_that_wait_or_run(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, other = await add_job(conn), await add_job(conn)
        running = a_run(job)
        ended = a_run(job, MORNING_MS + 1, status="skipped", reason="overlap")
        await write(conn, job, running, ended, replica=uuid4())
        queued = await due_run(conn, job, due_ms=MORNING_MS + 2, queued=True)
        await due_run(conn, other, due_ms=MORNING_MS)
        found = await timers.open_runs(conn, [job.id])
    assert {(run.id, run.queued) for run in found[job.id]} == {(running.id, False), (queued, True)}
    assert set(found) == {job.id}


async def test_of_named_occurrences_the_unfinished_ones_are_found(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, other = await add_job(conn), await add_job(conn)
        await write(conn, job, a_run(job), replica=uuid4())
        ended = a_run(other, status="skipped", reason="overlap")
        await write(conn, other, ended, replica=uuid4())
        asked = [(job.id, MORNING_MS), (other.id, MORNING_MS), (job.id, MORNING_MS + 1)]
        found = await timers.open_occurrences(conn, asked)
    assert set(found) == {job.id}


async def test_completing_touches_active_jobs_alone(pool: Pool) -> None:
    async with transaction(pool) as conn:
        one, two = await add_job(conn), await add_job(conn)
        await conn.execute("UPDATE jobs SET state = 'paused', pause = '{}' WHERE id = $1", two.id)
        done = await timers.complete_jobs(conn, [one.id, two.id], now_ms=MORNING_MS)
    assert done == [one.id]
    rows = await pool.fetch(
        "SELECT j.id, j.revision, t.revision AS timer FROM jobs AS j JOIN job_timers AS t"
        " ON t.job_id = j.id"
    )
    assert {row["id"]: (row["revision"], row["timer"]) for row in rows} == {
        one.id: (2, 2),
        two.id: (1, 1),
    }


async def test_a_locked_timer_is_claimed_by_whoever_comes_after_its_holder_died(
    pool: Pool,
) -> None:
    async with transaction(pool) as conn:
        await add_job(conn)
    dead = await pool.acquire()
    await dead.execute("BEGIN")
    assert (
        len(
            await dead.fetch(
                statement("lock_due_timers"), instant_at(0), UUID(int=0), instant_at(A_LOOK_MS), 5
            )
        )
        == 1
    )
    async with transaction(pool) as conn:
        assert await _lock(conn) == []
    dead.terminate()
    await pool.release(dead)

    async def until_free() -> None:
        while True:
            async with transaction(pool) as conn:
                if await _lock(conn):
                    return

    await asyncio.wait_for(until_free(), 5)
