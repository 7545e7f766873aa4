"""The share of one key: a host that does not answer is in no way; a quick one keeps its speed.

Who is claimed and sent, and in which order; `bench/dead_target.py` prints milliseconds.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from clock import PassingClock
from factories import MORNING_MS, waiting_run
from pressing import deferrals
from receiver import OK, Receiver, held, raw, receiving, silence
from rig import HOUR, SECOND, Rig, attempts, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import BreakerRules, Ceiling, Key
from scheduler_svc.engine import dispatch
from scheduler_svc.engine.placing import TELLING_MS
from scheduler_svc.engine.pressure import Pressure, PressureRules
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}
SLOTS = 40
QUARTER = PressureRules(share=0.25, breaker=BreakerRules(failures=0))


@pytest.fixture
async def dead() -> AsyncIterator[Receiver]:
    """Another host, which takes connections and never answers."""
    async with receiving(host="127.0.0.2") as listening:
        listening.default = silence()
        yield listening


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=20, pressure=QUARTER) as built:
        yield built


async def _jobs(rig: Rig, count: int, url: str) -> None:
    for _ in range(count):
        await rig.job(schedule=EVERY, target={"url": url}, retry={"max_attempts": 1})


def _held(rig: Rig, host: str) -> int:
    return sum(one.job.key.name == host for one in rig.held())


async def test_healthy_jobs_are_claimed_ahead_beside_many_of_a_dead_host_and_sent_on_time(
    rig: Rig, dead: Receiver, engine_pool: Pool
) -> None:
    await _jobs(rig, 100, dead.url())
    await _jobs(rig, 5, rig.receiver.url())
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert _held(rig, "127.0.0.1") == 5
    assert _held(rig, "127.0.0.2") <= SLOTS // 4
    assert await engine_pool.fetchval("SELECT count(*) FROM runs") == len(rig.held())
    await rig.pass_time(500)
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await rig.receiver.wait_for(5)
        await rig.pass_time(TELLING_MS)
        await rig.tick()
        # None of them is in a timer's way, or in a slot's, any more.
        assert (
            await engine_pool.fetchval(
                "SELECT count(*) FROM job_timers WHERE fire_at <= $1", instant_at(rig.clock.ms)
            )
            == 0
        )
        assert _held(rig, "127.0.0.2") <= SLOTS // 4
        dead.cut()
    waiting = [one for one in await deferrals(rig) if one]
    assert len(waiting) >= 100 - SLOTS // 4
    assert {(one["reason"], one["key"]) for one in waiting} == {("host_share", "127.0.0.2")}


async def test_who_is_due_shortly_after_a_crowd_of_a_dead_host_is_claimed_before_it_is_late(
    engine_pool: Pool, receiver: Receiver, dead: Receiver
) -> None:
    clock = PassingClock(MORNING_MS)
    async with rigged(
        engine_pool, receiver, clock=clock, slots=SLOTS, batch=5, pressure=QUARTER
    ) as rig:
        await _jobs(rig, 200, dead.url())
        due_ms = clock.ms + 2 * HOUR
        await engine_pool.execute(
            "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(due_ms)
        )
        job = await rig.job(schedule={"every": "1h"}, at_ms=due_ms + 700)
        await rig.pass_time(due_ms - clock.ms)
        await rig.tick()
        assert clock.ms > due_ms + 1000
        run = await rig.run(job)
        assert run["status"] == "running"
        assert run["claimed_at"] < run["scheduled_for"]


async def test_what_is_over_the_share_is_not_touched_until_there_is_room_and_hides_nobody(
    rig: Rig, dead: Receiver, engine_pool: Pool
) -> None:
    await _jobs(rig, 100, dead.url())
    healthy = await rig.job(schedule={"every": "30d"})
    await rig.pass_time(HOUR + TELLING_MS)
    await rig.tick()
    before = await _due(engine_pool)
    run = await waiting_run(engine_pool, healthy, at_ms=rig.clock.ms, priority=-100)
    await rig.tick()
    assert run in {one.claim.id for one in rig.held()}
    assert await _due(engine_pool) == before
    share = _held(rig, "127.0.0.2")
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await dead.wait_for(share)
        await rig.pass_time(30 * SECOND)
        dead.cut()
    await rig.settle()
    await rig.tick()
    assert _held(rig, "127.0.0.2") == share
    assert len(await _due(engine_pool)) == len(before) - share


async def test_waiting_runs_of_a_dead_host_are_set_aside_and_healthy_ones_behind_them_go(
    rig: Rig, dead: Receiver, engine_pool: Pool
) -> None:
    slow = await rig.job(schedule={"every": "30d"}, target={"url": dead.url()})
    healthy = await rig.job(schedule={"every": "30d"})
    for n in range(90):
        await waiting_run(engine_pool, slow, at_ms=rig.clock.ms + n)
    run = await waiting_run(engine_pool, healthy, at_ms=rig.clock.ms + 90)
    await rig.pass_time(100)
    await rig.tick()
    assert run in {one.claim.id for one in rig.held()}
    assert _held(rig, "127.0.0.2") <= SLOTS // 4


async def test_a_burst_of_a_host_that_answers_has_more_than_the_share_and_waits_in_no_line(
    rig: Rig, engine_pool: Pool
) -> None:
    await _jobs(rig, 100, rig.receiver.url())
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert len(rig.held()) == SLOTS // 4
    await rig.pass_time(500)
    await rig.send()
    await rig.tick()
    assert len(rig.held()) == SLOTS * 3 // 4
    await rig.send()
    while await rig.tick() < 1.0:
        await rig.send()
    await rig.send()
    assert len(rig.receiver.requests) == 100
    assert await deferrals(rig) == [None] * 100


async def test_a_quick_host_that_does_not_catch_up_is_in_the_way_for_three_seconds_at_most(
    rig: Rig, engine_pool: Pool
) -> None:
    await _jobs(rig, 100, rig.receiver.url())
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await rig.pass_time(500)
    await rig.send()
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, raw(OK)))
    await rig.tick()
    async with rig.sending():
        left = "SELECT count(*) FROM job_timers WHERE fire_at <= $1"
        await rig.tick()
        assert await engine_pool.fetchval(left, instant_at(rig.clock.ms)) > 0
        await rig.pass_time(3 * SECOND)
        await rig.tick()
        assert await engine_pool.fetchval(left, instant_at(rig.clock.ms)) == 0
        gate.set()


async def test_a_host_whose_last_call_was_slow_is_trusted_no_more(rig: Rig) -> None:
    pressure, key = rig.parts.pressure, Key("default", "127.0.0.1")
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    assert pressure.room(key, held=0, free=SLOTS) == SLOTS * 3 // 4
    gate = asyncio.Event()

    rig.receiver.on("/", held(gate, raw(OK)))
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        rig.clock.move(2 * SECOND)
        gate.set()
    assert pressure.room(key, held=0, free=SLOTS) == SLOTS // 4


def test_ten_hosts_that_do_not_answer_leave_slots_to_others() -> None:
    pressure, free = Pressure(QUARTER), 100
    for n in range(10):
        free -= pressure.room(Key("default", f"h{n}"), held=0, free=free)
    assert free >= 5


def test_a_key_may_always_have_one_slot_and_a_share_of_one_is_no_share() -> None:
    key = Key("default", "h")
    assert Pressure(QUARTER).room(key, held=0, free=1) == 1
    assert Pressure(PressureRules(share=1.0)).room(key, held=60, free=40) == 40
    assert Pressure(PressureRules(default=Ceiling(1))).reason(key) == "concurrency"


async def _due(pool: Pool) -> set[tuple[object, object]]:
    rows = await pool.fetch("SELECT id, xmin FROM runs WHERE status = 'due'")
    return {(row["id"], row["xmin"]) for row in rows}
