"""Two claims at once: one is decided while the other is written, and neither is left behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from receiver import Receiver
from rig import Rig, rigged
from scheduler_svc.domain.ids import instant_at, run_id
from scheduler_svc.engine import run_quota, tick
from scheduler_svc.engine.chain import Chain
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Connection, Pool, connection
from scheduler_svc.store.timers import Mark
from stopping import STOPPED, waiting

BATCH, JOBS, SLOTS = 2, 6, 50
EVERY = {"every": "1h"}


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=BATCH) as built:
        yield built


@pytest.fixture
async def made(rig: Rig) -> list[UUID]:
    """Jobs that are due at one instant, in the order in which they are claimed."""
    ids = [await rig.job(schedule=EVERY) for _ in range(JOBS)]
    await rig.pass_time(3_600_000)
    return sorted(ids)


async def _free(conn: Connection) -> list[UUID]:
    """Return the jobs whose timers nobody holds locked, in order."""
    found = await conn.fetch("SELECT job_id FROM job_timers ORDER BY job_id FOR SHARE SKIP LOCKED")
    return [row["job_id"] for row in found]


async def _all_free(conn: Connection, made: list[UUID]) -> None:
    """Wait until the server has noticed that claims are gone."""
    async with asyncio.timeout(30):
        while await _free(conn) != made:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_the_next_claim_is_decided_while_one_is_written(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(rig.tick())
            await waiting(looking, 2)
            assert await _free(looking) == made[2 * BATCH :]
            assert rig.held() == []
            assert rig.parts.hand.free == SLOTS - 2 * BATCH
            assert rig.parts.hand.of_namespace("default") == 2 * BATCH
        await ticking
    assert len(rig.held()) == JOBS
    assert rig.parts.hand.free == SLOTS - JOBS
    assert [row["status"] for row in await rig.runs()] == ["running"] * JOBS


async def test_a_claim_of_a_namespace_with_a_calendar_is_written_before_the_next_begins(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    """The calendar is locked until then, and who only tries it would leave its timers."""
    settings = json.dumps({"quotas": {"runs_per_minute": 50}})
    await pool.execute(
        "INSERT INTO namespaces (name, settings, revision, created_at, updated_at)"
        " VALUES ('default', $1, 1, now(), now())",
        settings,
    )
    await rig.parts.namespaces.load(rig.parts.pool)
    await run_quota.make_missing(rig.parts, frozenset({"default"}))
    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(rig.tick())
            await waiting(looking, 1)
        await ticking
    assert {one.claim.job_id for one in rig.held()} == set(made)


async def test_a_claim_that_can_not_be_written_takes_no_other_with_it(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    refused = f"ALTER TABLE runs ADD CONSTRAINT no CHECK (job_id <> '{made[0]}') NOT VALID"
    async with connection(pool, seconds=60) as conn:
        await conn.execute(refused)
        try:
            with pytest.raises(asyncpg.CheckViolationError):
                await rig.tick()
        finally:
            await conn.execute("ALTER TABLE runs DROP CONSTRAINT no")
        held = {one.claim.job_id for one in rig.held()}
        assert held == set(made[BATCH : 2 * BATCH])
        assert rig.parts.hand.free == SLOTS - BATCH
        assert await _free(conn) == made
    await rig.tick()
    assert len(rig.held()) == JOBS
    assert rig.parts.hand.free == SLOTS - JOBS


async def test_a_pass_that_is_ended_leaves_no_claim_behind(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(rig.tick())
            await waiting(looking, 2)
            ticking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ticking
            assert rig.parts.hand.free == SLOTS
        await _all_free(looking, made)
    assert await rig.runs() == []


async def test_a_look_that_is_ended_beside_a_claim_that_is_not_decided_leaves_neither(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    decided = asyncio.Event()

    async def look() -> None:
        async with Chain(rig.parts) as chain:
            first = await chain.scan(Mark(), None, room=SLOTS, portion=100)
            decided.set()
            await chain.scan(first.mark, first, room=SLOTS, portion=100)

    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(look())
            await decided.wait()
            await asyncio.sleep(0)  # the next has begun, and has asked the database nothing yet
            ticking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ticking
            assert rig.parts.hand.free == SLOTS
        await _all_free(looking, made)
    assert await rig.runs() == []


async def test_a_job_that_is_remembered_no_more_while_its_claim_is_written_is_sent(
    rig: Rig, pool: Pool
) -> None:
    """Of one instant, it is let go when another run of it has ended, such as one by hand."""
    job = await rig.job(schedule={"at": instant_at(rig.clock.ms + 3_600_000)})
    await rig.pass_time(3_600_000)
    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(rig.tick())
            await waiting(looking, 1)
            rig.parts.jobs.let_go(job)
        await ticking
    assert [row["status"] for row in await rig.runs()] == ["running"]
    assert [one.claim.job_id for one in rig.held()] == [job]
    await rig.send()
    assert await rig.said() == [("succeeded", None)]


async def test_a_claim_that_is_made_anew_finds_the_slots_that_it_had_counted_for_itself(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    """One occurrence has its run already: the claim is contested, and all others are sent."""
    claimed = set(made[:BATCH])
    await rig.parts.pool.execute(
        "INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, finished_at)"
        " SELECT $2, scheduled_for, job_id, 'default', 'schedule', 'succeeded', scheduled_for"
        " FROM job_timers WHERE job_id = $1",
        made[0],
        run_id(made[0], rig.clock.ms),
    )
    rig.parts.hand.slots = BATCH
    await tick.claim_timers(rig.parts, Mark(), room=BATCH, portion=100)
    assert {one.claim.job_id for one in rig.held()} == claimed - {made[0]}
    assert sorted(await rig.said()) == [("running", None), ("succeeded", None)]
    assert rig.parts.hand.free == 1


async def test_a_claim_that_was_made_anew_from_elsewhere_says_so(
    rig: Rig, made: list[UUID], pool: Pool
) -> None:
    """The pass begins anew then: something may lie between where it came to and where it went on.

    The connection of the first claim breaks while it is written, and another gets its first timer.
    """
    chain = Chain(rig.parts)
    async with (
        connection(pool, seconds=60) as conn,
        connection(pool, seconds=60) as other,
        connection(pool, seconds=60) as looking,
    ):
        async with conn.transaction(), other.transaction():
            await conn.execute(STOPPED)
            first = await chain.scan(Mark(), None, room=SLOTS, portion=100)
            (writer,) = await waiting(looking, 1)
            taking = asyncio.create_task(
                other.execute(f"SELECT 1 FROM job_timers WHERE job_id = '{made[0]}' FOR UPDATE")
            )
            await waiting(looking, 1, by_hand=True)
            await looking.execute("SELECT pg_terminate_backend($1)", writer)
            await taking
            await waiting(looking, 1)
            ending = asyncio.create_task(chain.end())
        await ending
    assert chain.broken
    assert first.mark.job_id == made[BATCH - 1]
    assert {one.claim.job_id for one in rig.held()} == set(made[1 : 1 + BATCH])


async def test_a_claim_that_was_made_anew_and_left_what_it_had_taken_says_so(
    engine_pool: Pool, receiver: Receiver, pool: Pool
) -> None:
    """It came to the same place; but the mark is not to be raised past what it left."""
    half = PressureRules(share=1.0, namespace_share=0.5)
    async with (
        rigged(engine_pool, receiver, slots=SLOTS, batch=BATCH, pressure=half) as rig,
        connection(pool, seconds=60) as conn,
        connection(pool, seconds=60) as looking,
    ):
        for _ in range(BATCH):
            await rig.job(schedule=EVERY)
        await rig.pass_time(3_600_000)
        chain = Chain(rig.parts)
        async with conn.transaction():
            await conn.execute(STOPPED)
            first = await chain.scan(Mark(), None, room=SLOTS, portion=100)
            (writer,) = await waiting(looking, 1)
            rig.parts.hand.slots = BATCH  # as if others had come into the hand
            await looking.execute("SELECT pg_terminate_backend($1)", writer)
            ending = asyncio.create_task(chain.end())
            async with asyncio.timeout(30):
                while await waiting(looking, 1) == [writer]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await ending
        assert first.left_ms is None
        assert len(rig.held()) == 1
        assert chain.broken
