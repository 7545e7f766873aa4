"""The end of attempts: fenced by id, attempt and state; and what is given back unsent."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from factories import MORNING_MS
from ledger import HOUR, a_run, add_job, an_end, due_run, holding, status_of, write
from plans import PLANS, force
from scheduler_svc.domain.decide import NewRun, PlannedJob
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import claims, settlements
from scheduler_svc.store.pool import Connection, Pool, transaction
from scheduler_svc.store.settlements import Held

DUE = {"status": "due", "finished_ms": None, "next_attempt_ms": MORNING_MS + 5000}


async def _running(conn: Connection, replica: UUID, **job: Any) -> tuple[PlannedJob, NewRun]:
    made = await add_job(conn, **job)
    run = a_run(made)
    await write(conn, made, run, replica=replica)
    return made, run


@pytest.mark.parametrize("plan", PLANS)
async def test_the_end_of_a_running_attempt_is_written_under_any_plan(
    pool: Pool, plan: str
) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        other, beside = await _running(conn, uuid4())
        await force(conn, plan)
        settled = await settlements.settle(conn, [an_end(job, run, lateness_ms=7)])
        assert settled == {run.id: "succeeded"}
        assert (await status_of(conn, beside.id))[0] == "running"
    row = await pool.fetchrow("SELECT * FROM runs WHERE id = $1", run.id)
    assert row is not None
    assert (row["status"], row["lateness_ms"], row["next_attempt_at"]) == ("succeeded", 7, None)
    assert row["attempts"] == ['{"number":1}']
    assert other.id != job.id


@pytest.mark.parametrize("attempt", [0, 2, 3])
async def test_another_attempt_than_the_present_one_settles_nothing(
    pool: Pool, attempt: int
) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        assert await settlements.settle(conn, [an_end(job, run, attempt=attempt)]) == {}
        assert (await status_of(conn, run.id))[0] == "running"


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "due"])
async def test_what_is_not_running_any_more_is_settled_by_nobody(pool: Pool, status: str) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        reason = None if status in {"succeeded", "due"} else "status"
        ended = DUE if status == "due" else {"status": status, "reason": reason}
        assert len(await settlements.settle(conn, [an_end(job, run, **ended)])) == 1
        before = await conn.fetchrow("SELECT * FROM runs")
        late = an_end(job, run, status="failed", reason="attempts", record='{"late":1}')
        assert await settlements.settle(conn, [late]) == {}
        assert await conn.fetchrow("SELECT * FROM runs") == before


@pytest.mark.parametrize("plan", PLANS)
async def test_a_plain_end_is_written_as_any_other(pool: Pool, plan: str) -> None:
    """Of runs of one instant and of several."""
    rows: list[list[dict[str, Any]]] = []
    for later_ms in (0, 0, 7):
        async with transaction(pool) as conn:
            await conn.execute("TRUNCATE jobs, job_timers, runs CASCADE")
            replica = UUID(int=1)
            first, second = await add_job(conn), await add_job(conn)
            runs = [a_run(first), a_run(second, MORNING_MS + later_ms)]
            ends = []
            for job, run in zip((first, second), runs, strict=True):
                await write(conn, job, run, replica=replica)
                began = {"started_ms": run.fire_ms + 3, "finished_ms": run.fire_ms + 8}
                ends.append(an_end(job, run, **began, lateness_ms=3, duration_ms=5))
            await force(conn, plan)
            if len(rows) == 0:
                assert len(await settlements.settle(conn, ends)) == 2
            else:
                assert await settlements.settle_plain(conn, ends) == {run.id for run in runs}
            found = await conn.fetch("SELECT * FROM runs ORDER BY scheduled_for")
        rows.append([dict(row) | {"id": None, "job_id": None} for row in found])
    usual, plain, apart = rows
    assert plain == usual
    moved = {name for name in apart[1] if apart[1][name] != usual[1][name]}
    assert moved == {"scheduled_for", "started_at", "finished_at"}
    assert apart[0] == usual[0]


@pytest.mark.parametrize("ended", [{"status": "failed", "reason": "status"}, DUE])
async def test_a_plain_end_settles_nothing_that_is_not_running_its_first_attempt(
    pool: Pool, ended: dict[str, Any]
) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        other, beside = await _running(conn, uuid4())
        await settlements.settle(conn, [an_end(job, run, **ended)])
        before = await conn.fetchrow("SELECT * FROM runs WHERE id = $1", run.id)
        ends = [an_end(job, run), an_end(other, beside)]
        assert await settlements.settle_plain(conn, ends) == {beside.id}
        assert await conn.fetchrow("SELECT * FROM runs WHERE id = $1", run.id) == before


async def test_a_plain_end_of_a_first_attempt_does_not_settle_the_second(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        await settlements.settle(conn, [an_end(job, run, **DUE)])
        later_ms = MORNING_MS + HOUR
        await claims.claim_due_runs(
            conn, horizon_ms=later_ms, batch=5, replica=uuid4(), now_ms=later_ms
        )
        assert await settlements.settle_plain(conn, [an_end(job, run)]) == set()
        assert (await status_of(conn, run.id))[:2] == ("running", 2)


async def test_a_batch_settles_those_that_hold_and_leaves_the_others(pool: Pool) -> None:
    async with transaction(pool) as conn:
        runs = [await _running(conn, uuid4()) for _ in range(20)]
        batch = [an_end(job, run, attempt=1 + n % 2) for n, (job, run) in enumerate(runs)]
        settled = await settlements.settle(conn, batch)
    assert set(settled) == {run.id for _, run in runs[::2]}


async def test_two_ends_of_one_attempt_at_once_are_written_once(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())

    async def end(status: str) -> int:
        async with transaction(pool) as conn:
            ended = an_end(job, run, status=status, reason="status")
            return len(await settlements.settle(conn, [ended]))

    assert sorted(await asyncio.gather(end("failed"), end("cancelled"))) == [0, 1]


async def test_the_first_attempt_s_start_and_lateness_stay(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        await settlements.settle(conn, [an_end(job, run, lateness_ms=3, **DUE)])
        await claims.claim_due_runs(
            conn,
            horizon_ms=MORNING_MS + HOUR,
            batch=5,
            replica=uuid4(),
            now_ms=MORNING_MS + HOUR,
        )
        later = MORNING_MS + HOUR
        await settlements.settle(
            conn, [an_end(job, run, attempt=2, lateness_ms=99, started_ms=later)]
        )
    row = await pool.fetchrow("SELECT lateness_ms, started_at, attempts FROM runs")
    assert row is not None
    assert (row["lateness_ms"], row["started_at"]) == (3, instant_at(MORNING_MS))
    assert len(row["attempts"]) == 2


async def test_a_retry_of_a_run_that_is_to_be_cancelled_is_its_end(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        await settlements.cancel_runs(
            conn, [(run.id, run.scheduled_ms)], reason="overlap", now_ms=MORNING_MS
        )
        assert await settlements.settle(conn, [an_end(job, run, **DUE)]) == {run.id: "cancelled"}


async def test_a_success_of_a_run_that_is_to_be_cancelled_stays_one(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        await settlements.cancel_runs(
            conn, [(run.id, run.scheduled_ms)], reason="overlap", now_ms=MORNING_MS
        )
        assert await settlements.settle(conn, [an_end(job, run)]) == {run.id: "succeeded"}


async def test_cancelling_ends_what_waits_and_asks_what_runs(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        waiting = await due_run(conn, job, due_ms=MORNING_MS + 1)
        ended = a_run(job, MORNING_MS + 2, status="skipped", reason="overlap")
        await write(conn, job, ended, replica=uuid4())
        keys = [(run.id, MORNING_MS), (waiting, MORNING_MS + 1), (ended.id, MORNING_MS + 2)]
        asked = await settlements.cancel_runs(conn, keys, reason="overlap", now_ms=MORNING_MS)
        assert asked == [run.id]
        assert (await status_of(conn, waiting))[0] == "cancelled"
        assert (await status_of(conn, run.id))[0] == "running"
        assert (await status_of(conn, ended.id))[0] == "skipped"


async def test_a_released_run_is_due_again_with_the_attempt_uncounted(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        _, run = await _running(conn, replica)
        freed = await settlements.release_runs(conn, [holding(run)], replica=replica)
        assert freed == {run.id}
        assert await status_of(conn, run.id) == ("due", 0, instant_at(MORNING_MS))


@pytest.mark.parametrize("what", ["another replica", "another attempt", "another state"])
async def test_nobody_releases_or_forgets_what_is_not_his(pool: Pool, what: str) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        job, run = await _running(conn, replica)
        if what == "another state":
            await settlements.settle(conn, [an_end(job, run)])
        held = [holding(run, attempt=2 if what == "another attempt" else 1)]
        by = uuid4() if what == "another replica" else replica
        before = await status_of(conn, run.id)
        assert await settlements.release_runs(conn, held, replica=by) == set()
        assert await settlements.forget_runs(conn, held, replica=by, now_ms=0) == set()
        assert await status_of(conn, run.id) == before


async def test_forgetting_removes_the_run_and_uncounts_it(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        job, run = await _running(conn, replica)
        kept, beside = await _running(conn, replica)
        gone = await settlements.forget_runs(conn, [holding(run)], replica=replica, now_ms=0)
    assert gone == {run.id}
    assert [row["id"] for row in await pool.fetch("SELECT id FROM runs")] == [beside.id]
    rows = await pool.fetch("SELECT job_id, runs_made FROM job_timers")
    made = {row["job_id"]: row["runs_made"] for row in rows}
    assert made == {job.id: 0, kept.id: 1}


async def test_forgetting_waits_for_a_claim_under_way_and_does_not_deadlock_with_it(
    pool: Pool,
) -> None:
    """Timers are locked before runs, everywhere."""
    replica = uuid4()
    async with transaction(pool) as conn:
        job, run = await _running(conn, replica)

    async def forget() -> set[UUID]:
        async with transaction(pool) as conn:
            return await settlements.forget_runs(conn, [holding(run)], replica=replica, now_ms=0)

    async with transaction(pool) as claimer:
        await claimer.fetch("SELECT 1 FROM job_timers WHERE job_id = $1 FOR UPDATE", job.id)
        forgetting = asyncio.create_task(forget())
        await _until_blocked(pool)
        assert await write(claimer, job, run, replica=uuid4()) == set()
    assert await asyncio.wait_for(forgetting, 5) == {run.id}


async def _until_blocked(pool: Pool) -> None:
    """Wait until some session waits for a lock."""
    while not await pool.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    ):
        pass


async def test_the_oldest_queued_run_goes_when_its_job_has_none_left(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        first = await due_run(conn, job, due_ms=MORNING_MS + 1, queued=True)
        await due_run(conn, job, due_ms=MORNING_MS + 2, queued=True)
        now_ms = MORNING_MS + HOUR
        assert await settlements.release_queued(conn, [job.id], now_ms=now_ms) == []
        await settlements.settle(conn, [an_end(job, run)])
        assert await settlements.release_queued(conn, [job.id], now_ms=now_ms) == [first]
        assert (await status_of(conn, first))[2] == instant_at(now_ms)
        assert await settlements.release_queued(conn, [job.id], now_ms=now_ms) == []


async def test_a_run_that_waits_for_its_retry_keeps_the_queued_one_waiting(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, run = await _running(conn, uuid4())
        await due_run(conn, job, due_ms=MORNING_MS + 1, queued=True)
        await settlements.settle(conn, [an_end(job, run, **DUE)])
        assert await settlements.release_queued(conn, [job.id], now_ms=MORNING_MS) == []


async def test_the_upkeep_frees_the_oldest_of_what_is_stranded(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job, _ = await _running(conn, uuid4())
        await due_run(conn, job, due_ms=MORNING_MS + 1, queued=True)
        lonely = await add_job(conn)
        stranded = await due_run(conn, lonely, due_ms=MORNING_MS, queued=True)
        await due_run(conn, lonely, due_ms=MORNING_MS + 5, queued=True)
        assert await settlements.release_stranded(conn, now_ms=MORNING_MS) == [stranded]


async def test_what_a_replica_holds_by_the_database_is_told_with_its_token(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        _, run = await _running(conn, replica)
        ended, over = await _running(conn, replica)
        await settlements.settle(conn, [an_end(ended, over)])
        await _running(conn, uuid4())
        found = await settlements.runs_of(conn, replica, before_ms=MORNING_MS + 1)
        assert found == [Held(run.id, MORNING_MS, 1)]
        assert await settlements.runs_of(conn, replica, before_ms=MORNING_MS) == []


async def test_a_job_whose_target_is_gone_is_paused_once(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        assert await settlements.pause_jobs(conn, [job.id], reason="gone", now_ms=MORNING_MS) == [
            job.id
        ]
        assert await settlements.pause_jobs(conn, [job.id], reason="gone", now_ms=MORNING_MS) == []
    row = await pool.fetchrow("SELECT revision, fire_at FROM job_timers")
    assert row is not None
    assert tuple(row) == (2, None)
