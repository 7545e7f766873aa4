"""What can not be decided is parked, and told of once: when that has committed, and not before."""

import asyncio
from uuid import UUID

import pytest

from factories import MORNING_MS, waiting_run
from rig import HOUR, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine.parking import Parking
from scheduler_svc.store.pool import Connection, Pool, connection, transaction
from stopping import STOPPED, waiting

EVERY = {"every": "1h"}
BAD = {
    "read": '{"schedule": 7}',
    "compiled": '{"schedule": {"cron": "99 99 * * *"}, "target": {"url": "http://127.0.0.1/"}}',
}


async def _poison(rig: Rig, kind: str = "read") -> UUID:
    job = await rig.job(schedule=EVERY)
    await rig.parts.pool.execute("UPDATE jobs SET definition = $2 WHERE id = $1", job, BAD[kind])
    return job


def _told(rig: Rig) -> list[UUID]:
    return [told["job_id"] for told in rig.told(EventName.JOB_PARKED)]


@pytest.mark.parametrize("kind", BAD)
async def test_a_job_in_a_contested_claim_is_told_of_once(rig: Rig, kind: str) -> None:
    """An occurrence beside it has its run already, so the claim is made anew."""
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    poison = await _poison(rig, kind)
    await rig.parts.pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    await rig.tick()
    assert await rig.state(poison) == "paused"
    assert _told(rig) == [poison]


async def test_a_job_in_a_claim_that_lost_its_connection_is_told_of_once(
    rig: Rig, pool: Pool
) -> None:
    poison = await _poison(rig)
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    async with connection(pool, seconds=60) as conn, connection(pool, seconds=60) as looking:
        async with conn.transaction():
            await conn.execute(STOPPED)
            ticking = asyncio.create_task(rig.tick())
            (writer,) = await waiting(looking, 1)
            assert _told(rig) == []
            await looking.execute("SELECT pg_terminate_backend($1)", writer)
            async with asyncio.timeout(30):
                while await waiting(looking, 1) == [writer]:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert _told(rig) == []
        await ticking
    assert await rig.state(poison) == "paused"
    assert _told(rig) == [poison]


async def test_a_job_whose_parking_committed_though_the_answer_was_lost_is_told_of(
    rig: Rig, pool: Pool
) -> None:
    poison, other = await _poison(rig), await _poison(rig)
    parking = Parking(rig.parts)
    made = 0

    async def work(conn: Connection) -> None:
        nonlocal made
        made += 1
        if made > 1:
            return  # it finds nothing more to park
        async with transaction(pool) as sure:
            await parking.park(sure, poison, ValueError("no"))
        await parking.park(conn, other, ValueError("no"))
        raise ConnectionResetError

    await parking.run(work)
    assert made == 2
    parking.tell()
    assert _told(rig) == [poison]
    assert await rig.state(other) == "active"


async def test_a_job_of_which_a_run_waits_is_told_of_once_and_the_run_ends(
    rig: Rig, engine_pool: Pool
) -> None:
    poison = await _poison(rig)
    await waiting_run(engine_pool, poison, at_ms=rig.clock.ms)
    await rig.tick()
    assert _told(rig) == [poison]
    await waiting_run(engine_pool, poison, at_ms=rig.clock.ms)
    await rig.tick()
    assert await rig.said(poison) == [("failed", "no_retry")] * 2
    assert _told(rig) == [poison], "it was parked before"
