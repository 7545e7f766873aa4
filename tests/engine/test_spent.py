"""`delete_after_completion`: the job goes when all is done, and its history stays."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from factories import MORNING_MS, waiting_run
from receiver import OK, held, raw
from rig import HOUR, MINUTE, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.engine import upkeep
from scheduler_svc.engine.upkeep import SPENT_BATCH

ONCE: dict[str, Any] = {"schedule": {"at": "2026-01-05T08:30:00Z"}, "delete_after_completion": True}


async def _exists(rig: Rig, job: UUID) -> bool:
    return bool(await rig.parts.pool.fetchval("SELECT count(*) FROM jobs WHERE id = $1", job))


async def _completed(rig: Rig, **changes: Any) -> UUID:
    job = await rig.job(**(ONCE | changes))
    await rig.pass_time(30 * MINUTE)
    await rig.work()
    assert await rig.state(job) == "completed"
    return job


async def test_a_completed_job_is_deleted_and_its_runs_stay(rig: Rig) -> None:
    job = await _completed(rig)
    assert await upkeep.delete_spent(rig.parts) == 1
    assert not await _exists(rig, job)
    assert await rig.parts.pool.fetchval("SELECT count(*) FROM job_timers") == 0
    assert await rig.said(job) == [("succeeded", None)]
    assert [told["job_id"] for told in rig.told(EventName.JOB_DELETED)] == [job]
    assert await upkeep.delete_spent(rig.parts) == 0


async def test_a_job_that_does_not_say_so_stays(rig: Rig) -> None:
    job = await _completed(rig, delete_after_completion=False)
    assert await upkeep.delete_spent(rig.parts) == 0
    assert await _exists(rig, job)


async def test_it_waits_for_the_last_run_with_its_retries(rig: Rig) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, raw(OK)))
    job = await rig.job(**ONCE)
    await rig.pass_time(30 * MINUTE)
    await rig.tick()
    async with rig.sending():
        await rig.tick()
        assert await rig.state(job) == "completed"
        assert await upkeep.delete_spent(rig.parts) == 0
        gate.set()
    assert await upkeep.delete_spent(rig.parts) == 1


async def test_it_waits_for_a_run_that_someone_triggered(rig: Rig) -> None:
    job = await _completed(rig)
    await waiting_run(rig.parts.pool, job, at_ms=rig.clock.ms)
    assert await upkeep.delete_spent(rig.parts) == 0
    await rig.work()
    assert await upkeep.delete_spent(rig.parts) == 1


async def test_it_is_not_deleted_before_its_last_instant_has_come(rig: Rig) -> None:
    job = await rig.job(schedule={"every": "1h", "max_runs": 1}, delete_after_completion=True)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert rig.held()
    await rig.tick()
    assert await rig.state(job) == "active"
    assert await upkeep.delete_spent(rig.parts) == 0
    await rig.pass_time(500)
    await rig.tick()
    assert await rig.state(job) == "completed"
    assert rig.clock.ms == MORNING_MS + HOUR


async def test_a_nul_in_a_body_keeps_no_job_from_completing_nor_from_going(rig: Rig) -> None:
    """PostgreSQL reads no JSON that has one: neither an index nor a statement may ask it to."""
    body = {"text": "a\0b", "delete_after_completion": True}
    job = await _completed(rig, target={"body": body})
    stays = await rig.job(schedule={"at": "2026-01-05T09:00:00Z"}, target={"body": body})
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said() == [("succeeded", None)] * 2
    assert await rig.state(stays) == "completed"
    assert await upkeep.delete_spent(rig.parts) == 1
    assert (await _exists(rig, job), await _exists(rig, stays)) == (False, True)


@pytest.mark.parametrize("count", [SPENT_BATCH + 1])
async def test_many_are_deleted_in_batches(rig: Rig, count: int) -> None:
    await rig.parts.pool.execute(
        "INSERT INTO jobs SELECT gen_random_uuid(), 'default', NULL, '', '{}',"
        " '{\"delete_after_completion\":true}', 'completed', NULL, 1, now(), now()"
        " FROM generate_series(1, $1)",
        count,
    )
    await rig.parts.pool.execute("INSERT INTO job_timers (job_id, revision) SELECT id, 1 FROM jobs")
    assert await upkeep.delete_spent(rig.parts) == count
