"""Leases: one row a replica; what the dead held goes back, in batches, and no further than that."""

import asyncio
import json
from uuid import UUID, uuid4

import pytest

from factories import MORNING_MS
from ledger import a_run, add_job, alive, an_end, status_of, write
from plans import PLANS, force
from scheduler_svc.domain.ids import instant_at, scheduled_ms_of
from scheduler_svc.store import replicas, settlements
from scheduler_svc.store.pool import Connection, Pool, transaction

DEAD_MS = MORNING_MS + 15_001


async def _hold(conn: Connection, replica: UUID, count: int = 1) -> list[UUID]:
    """Give a replica some runs under a lease of 15 s."""
    await alive(conn, replica)
    held = []
    for _ in range(count):
        job = await add_job(conn)
        run = a_run(job)
        await write(conn, job, run, replica=replica)
        held.append(run.id)
    return held


async def test_the_runs_of_a_replica_are_safe_until_its_lease_has_run_out(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        (run,) = await _hold(conn, replica)
        assert await replicas.rescue(conn, now_ms=MORNING_MS + 15_000, batch=9) == []
        (rescued,) = await replicas.rescue(conn, now_ms=DEAD_MS, batch=9)
        assert (rescued.id, rescued.status) == (run, "due")
        assert await status_of(conn, run) == ("due", 1, instant_at(DEAD_MS))
    row = await pool.fetchrow("SELECT replica, lost_count, attempts FROM runs")
    assert row is not None
    assert (row["replica"], row["lost_count"]) == (None, 1)
    assert json.loads(row["attempts"][0])["replica"] == str(replica)


async def test_a_heartbeat_renews_the_lease_on_all_of_them(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        await _hold(conn, replica, 3)
        await alive(conn, replica, now_ms=MORNING_MS + 10_000)
        assert await replicas.rescue(conn, now_ms=MORNING_MS + 25_000, batch=9) == []
        assert len(await replicas.rescue(conn, now_ms=MORNING_MS + 25_001, batch=9)) == 3


@pytest.mark.parametrize("plan", PLANS)
async def test_a_rescue_takes_no_more_than_its_batch_under_any_plan(pool: Pool, plan: str) -> None:
    async with transaction(pool) as conn:
        await _hold(conn, uuid4(), 12)
        await _hold(conn, uuid4(), 12)
        await force(conn, plan)
        assert len(await replicas.rescue(conn, now_ms=DEAD_MS, batch=5)) == 5
        assert await conn.fetchval("SELECT count(*) FROM runs WHERE status = 'due'") == 5


async def test_two_rescuers_at_once_share_the_work(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await _hold(conn, uuid4(), 20)
    async with transaction(pool) as one, transaction(pool) as two:
        first = await replicas.rescue(one, now_ms=DEAD_MS, batch=12)
        second = await asyncio.wait_for(replicas.rescue(two, now_ms=DEAD_MS, batch=12), 2)
    ids = [run.id for run in first + second]
    assert len(first) == 12
    assert len(ids) == len(set(ids)) == 20
    assert {row[0] for row in await pool.fetch("SELECT lost_count FROM runs")} == {1}


async def test_only_running_runs_are_rescued(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        await alive(conn, replica)
        job = await add_job(conn)
        run = a_run(job)
        await write(conn, job, run, replica=replica)
        await settlements.settle(conn, [an_end(job, run)])
        assert await replicas.rescue(conn, now_ms=DEAD_MS, batch=9) == []


async def test_a_run_asked_to_be_cancelled_ends_with_its_holder(pool: Pool) -> None:
    async with transaction(pool) as conn:
        (run,) = await _hold(conn, uuid4())
        await conn.execute("UPDATE runs SET cancel_requested = true")
        (rescued,) = await replicas.rescue(conn, now_ms=DEAD_MS, batch=9)
        assert rescued.status == "cancelled"
        assert (await status_of(conn, run))[0] == "cancelled"


async def test_the_fourth_replica_that_dies_of_a_run_is_the_last(pool: Pool) -> None:
    async with transaction(pool) as conn:
        (run,) = await _hold(conn, uuid4())
        await conn.execute("UPDATE runs SET lost_count = 2")
        assert [r.status for r in await replicas.rescue(conn, now_ms=DEAD_MS, batch=9)] == ["due"]
        await conn.execute(
            "UPDATE runs SET status = 'running', replica = (SELECT id FROM replicas LIMIT 1)"
        )
        (rescued,) = await replicas.rescue(conn, now_ms=DEAD_MS, batch=9)
        assert (rescued.id, rescued.status) == (run, "failed")


async def test_giving_the_lease_back_hands_the_runs_over_at_once(pool: Pool) -> None:
    replica = uuid4()
    async with transaction(pool) as conn:
        await _hold(conn, replica)
        await replicas.end_lease(conn, replica, now_ms=MORNING_MS)
        assert len(await replicas.rescue(conn, now_ms=MORNING_MS, batch=9)) == 1


async def test_a_replica_leaves_the_list_only_when_it_holds_nothing(pool: Pool) -> None:
    busy, idle = uuid4(), uuid4()
    async with transaction(pool) as conn:
        await _hold(conn, busy)
        await alive(conn, idle)
        for replica in (busy, idle):
            await replicas.leave(conn, replica)
        await replicas.prune_replicas(conn, before_ms=MORNING_MS + 10**9)
        listed = await replicas.list_replicas(conn, now_ms=MORNING_MS)
    assert [replica.id for replica in listed] == [busy]


async def test_the_list_is_of_those_whose_lease_holds(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await alive(conn, uuid4())
        assert len(await replicas.list_replicas(conn, now_ms=MORNING_MS + 15_000)) == 1
        assert await replicas.list_replicas(conn, now_ms=DEAD_MS) == []


async def test_the_runs_someone_wants_cancelled_are_told_to_their_holder_alone(
    pool: Pool,
) -> None:
    mine, other = uuid4(), uuid4()
    async with transaction(pool) as conn:
        (run,) = await _hold(conn, mine)
        (foreign,) = await _hold(conn, other)
        held = [(one, scheduled_ms_of(one)) for one in (run, foreign)]
        assert await replicas.cancel_wanted(conn, mine, held) == []
        await conn.execute("UPDATE runs SET cancel_requested = true")
        assert await replicas.cancel_wanted(conn, mine, held) == [run]
        assert await replicas.cancel_wanted(conn, mine, held[1:]) == []
