"""Fair share: a crowd of one namespace is in no other's way: timers, waiting runs, sending.

Who is claimed and sent, and in which order; `bench/crowd.py` prints milliseconds.
"""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from factories import waiting_run
from receiver import Receiver
from rig import HOUR, SECOND, Rig, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import BreakerRules
from scheduler_svc.engine import crowds, deciding
from scheduler_svc.engine.pressure import Pressure, PressureRules
from scheduler_svc.store.pool import Pool

SLOTS = 40
SHARE = 36
RULES = PressureRules(share=1.0, namespace_share=0.9, breaker=BreakerRules(failures=0))
CROWD = "crowd"


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=20, pressure=RULES) as built:
        yield built


async def _crowd(rig: Rig, count: int, namespace: str = CROWD) -> list[UUID]:
    return [
        await rig.job(
            namespace=namespace, schedule={"every": "1h"}, target={"concurrency_key": f"k{n}"}
        )
        for n in range(count)
    ]


def _held(rig: Rig, namespace: str) -> int:
    return sum(one.job.key.namespace == namespace for one in rig.held())


async def _moved(pool: Pool, namespace: str) -> int:
    made: int = await pool.fetchval("SELECT count(*) FROM runs WHERE namespace = $1", namespace)
    return made


async def _put(pool: Pool, job: UUID, at_ms: int) -> None:
    await pool.execute(
        "UPDATE job_timers SET scheduled_for = $2, fire_at = $2 WHERE job_id = $1",
        job,
        instant_at(at_ms),
    )


async def test_who_is_due_with_a_crowd_and_stands_behind_it_is_claimed_ahead(
    rig: Rig, engine_pool: Pool
) -> None:
    await _crowd(rig, 200)
    late = [await rig.job(schedule={"every": "1h"}) for _ in range(3)]
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert {one.claim.job_id for one in rig.held()} >= set(late)
    assert _held(rig, CROWD) <= SHARE
    # What the crowd may not have now is not written twice.
    assert await _moved(engine_pool, CROWD) == _held(rig, CROWD)


async def test_who_is_due_after_a_crowd_whose_calls_do_not_end_is_claimed_before_it_is_late(
    rig: Rig,
) -> None:
    await _crowd(rig, 200)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    after = await rig.job(schedule={"every": "1h"}, at_ms=rig.clock.ms + 3 * SECOND)
    await rig.pass_time(2500)
    seconds = await rig.tick()
    assert after in {one.claim.job_id for one in rig.held()}
    assert seconds < 1
    assert _held(rig, CROWD) <= SHARE


async def test_who_comes_in_behind_the_look_is_found_when_it_is_told_and_without_a_notice_soon(
    rig: Rig, engine_pool: Pool
) -> None:
    crowd = await _crowd(rig, 200)
    due_ms = rig.clock.ms + HOUR
    for n, job in enumerate(crowd):
        await _put(engine_pool, job, due_ms + n)
    await rig.job(schedule={"every": "1h"})
    await rig.pass_time(HOUR)
    await rig.tick()
    told, untold = [await rig.job(schedule={"every": "1h"}) for _ in range(2)]
    await _put(engine_pool, told, due_ms + 150)
    rig.pace.notice(due_ms + 150, lookahead_ms=1000)
    await rig.tick()
    assert told in {one.claim.job_id for one in rig.held()}
    await _put(engine_pool, untold, due_ms + 150)
    await rig.tick()
    assert untold not in {one.claim.job_id for one in rig.held()}
    await rig.pass_time(int(crowds.RESTART_SECONDS * 1000))
    await rig.tick()
    assert untold in {one.claim.job_id for one in rig.held()}


async def test_a_job_behind_a_crowd_that_waits_for_its_own_run_is_decided_at_its_instant(
    rig: Rig, engine_pool: Pool
) -> None:
    await _crowd(rig, 200)
    busy = await rig.job(schedule={"every": "1h"}, overlap="skip")
    await waiting_run(engine_pool, busy, at_ms=rig.clock.ms + 2 * HOUR)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert await _moved(engine_pool, "default") == 1
    await rig.pass_time(500)
    await rig.tick()
    row = await engine_pool.fetchrow(
        "SELECT status, reason FROM runs WHERE job_id = $1 AND trigger = 'schedule'", busy
    )
    assert row is not None
    assert (row["status"], row["reason"]) == ("skipped", "overlap")


async def test_a_backlog_of_waiting_runs_leaves_slots_and_hides_nobody(
    rig: Rig, engine_pool: Pool
) -> None:
    for job in await _crowd(rig, 100):
        await waiting_run(engine_pool, job, at_ms=rig.clock.ms, namespace=CROWD)
    job = await rig.job(schedule={"every": "30d"})
    waits = await waiting_run(engine_pool, job, at_ms=rig.clock.ms + 1)
    on_time = await rig.job(schedule={"every": "1h"}, at_ms=rig.clock.ms + 500)
    await rig.pass_time(1)
    await rig.tick()
    held = rig.held()
    assert on_time in {one.claim.job_id for one in held}
    assert waits in {one.claim.id for one in held}
    assert _held(rig, CROWD) <= SHARE
    reasons = await engine_pool.fetch(
        "SELECT DISTINCT deferral ->> 'reason' FROM runs WHERE status = 'due' AND namespace = $1",
        CROWD,
    )
    assert [row[0] for row in reasons] == ["namespace_share"]
    await rig.tick()
    assert _held(rig, CROWD) <= SHARE
    for _ in range(12):
        await rig.send()
        await rig.pass_time(SECOND)
        await rig.tick()
    await rig.send()
    ended = "SELECT count(*) FROM runs WHERE namespace = $1 AND status = 'succeeded'"
    assert await engine_pool.fetchval(ended, CROWD) == 100


async def test_a_crowd_alone_has_its_share_and_nobody_looks_past_it(
    rig: Rig, engine_pool: Pool
) -> None:
    await _crowd(rig, 100)
    await rig.pass_time(HOUR)
    await rig.tick()
    assert rig.pace.crowds.names == {CROWD}
    assert rig.pace.crowds.alone
    assert _held(rig, CROWD) == SHARE


async def test_what_is_due_at_one_instant_goes_out_in_turn(rig: Rig) -> None:
    jobs = await _crowd(rig, 30)
    urgent = await rig.job(
        namespace=CROWD, schedule={"every": "1h"}, priority=5, target={"concurrency_key": "u"}
    )
    others = [await rig.job(schedule={"every": "1h"}, priority=-7) for _ in range(2)]
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await rig.pass_time(500)
    order = [held.claim.job_id for held in rig.parts.hand.pop_due(rig.clock.ms)]
    assert order[0] == urgent
    assert {order[1], order[3]} == set(others)
    assert set(order) == {*jobs, urgent, *others}


def test_two_crowds_leave_slots_to_others_and_a_namespace_may_always_have_one() -> None:
    pressure, free = Pressure(RULES), 2000
    for _ in range(2):
        free -= pressure.room_of_namespace(held=0, free=free)
    assert free == 20
    assert pressure.room_of_namespace(held=0, free=1) == 1
    assert Pressure(PressureRules()).room_of_namespace(held=7, free=3) == 3


async def test_what_was_left_for_long_is_claimed_as_soon_as_the_crowd_has_slots_again(
    rig: Rig,
) -> None:
    """And not when all timers are looked at once more: the mark stays behind what was left."""
    jobs = await _crowd(rig, SLOTS + 20)
    await rig.pass_time(HOUR)
    await rig.tick()
    first = {one.claim.job_id for one in rig.held()}
    assert len(first) == SHARE
    await rig.pass_time(12 * SECOND)
    await rig.tick()
    await rig.send()
    await rig.tick()
    assert {one.claim.job_id for one in rig.held()} == set(jobs) - first


async def test_who_stands_behind_a_crowd_after_an_outage_is_claimed_portion_by_portion(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one transaction leaves of a batch goes in the next, not when the look begins anew."""
    monkeypatch.setattr(deciding, "RUNS_MAX", 1)
    await _crowd(rig, 200)
    late = [await rig.job(schedule={"every": "1h"}) for _ in range(3)]
    await rig.pass_time(HOUR + 5 * SECOND)
    await rig.tick()
    assert {one.claim.job_id for one in rig.held()} >= set(late)
