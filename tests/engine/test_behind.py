"""Who is due behind a crowd of one host: found without locking the crowd, which stays untouched."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from pressing import deferrals
from receiver import Receiver, receiving, silence
from rig import HOUR, Rig, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import BreakerRules, Key
from scheduler_svc.engine import behind
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}
SLOTS, BATCH, CROWD = 40, 20, 120
QUARTER = PressureRules(share=0.25, breaker=BreakerRules(failures=0))
LOCKED_AND_LEFT = "SELECT count(*) FROM job_timers WHERE xmax <> 0 AND fire_at <= $1"
"""A lock stays written in the row."""


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=BATCH, pressure=QUARTER) as built:
        yield built


@pytest.fixture
async def dead() -> AsyncIterator[Receiver]:
    async with receiving(host="127.0.0.2") as listening:
        listening.default = silence()
        yield listening


@pytest.fixture(params=[behind.LOOK_MAX, 30, CROWD - BATCH])
def look_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One look sees all of them, or several are needed, or the last sees few."""
    monkeypatch.setattr(behind, "LOOK_MAX", request.param)


async def _crowd(rig: Rig, url: str) -> None:
    for _ in range(CROWD):
        await rig.job(schedule=EVERY, target={"url": url})


@pytest.mark.usefixtures("look_max")
async def test_the_crowd_is_read_past_and_who_stands_behind_it_is_claimed(
    rig: Rig, dead: Receiver, engine_pool: Pool
) -> None:
    await _crowd(rig, dead.url())
    late = [await rig.job(schedule=EVERY, at_ms=rig.clock.ms + HOUR + 100 * n) for n in range(1, 4)]
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert {one.claim.job_id for one in rig.held()} >= set(late)
    assert len(rig.held()) == SLOTS // 4 + len(late)
    assert await engine_pool.fetchval(LOCKED_AND_LEFT, instant_at(rig.clock.ms + 900)) <= 2 * BATCH


async def test_more_of_those_behind_it_than_there_is_room_for_are_taken_to_the_last_slot(
    rig: Rig, dead: Receiver
) -> None:
    await _crowd(rig, dead.url())
    for n in range(SLOTS):
        key = {"concurrency_key": f"k{n}"}
        await rig.job(schedule=EVERY, target=key, at_ms=rig.clock.ms + HOUR + 100)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert len(rig.held()) == SLOTS
    # The others are left as they are, not written down as waiting.
    assert len(await rig.runs()) == SLOTS


async def test_a_job_behind_it_that_can_not_be_decided_is_parked(rig: Rig, dead: Receiver) -> None:
    await _crowd(rig, dead.url())
    broken = await rig.job(schedule=EVERY, at_ms=rig.clock.ms + HOUR + 100)
    await rig.parts.pool.execute(
        """UPDATE jobs SET definition = '{"a": 1}' WHERE id = $1""", broken
    )
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert await rig.state(broken) == "paused"
    assert len(rig.held()) == SLOTS // 4


async def test_a_crowd_of_a_host_that_answers_goes_on_when_the_first_calls_are_back(
    rig: Rig,
) -> None:
    """And not at its instant, when nobody can know yet: it would be written down for nothing."""
    await _crowd(rig, rig.receiver.url())
    await rig.pass_time(HOUR - 500)
    assert await rig.tick() == pytest.approx(0.7)
    await rig.pass_time(500)
    rig.parts.to_claim.clear()
    await rig.send()
    async with asyncio.timeout(10):
        await rig.parts.to_claim.wait(None)
    await rig.tick()
    assert len(rig.held()) == SLOTS * 3 // 4
    assert set(await deferrals(rig)) == {None}


async def test_of_two_crowds_the_host_that_answers_goes_on_though_the_other_does_not(
    rig: Rig, dead: Receiver
) -> None:
    """And not only when the time to tell is over for both."""
    await _crowd(rig, rig.receiver.url())
    for _ in range(CROWD):
        await rig.job(schedule=EVERY, target={"url": dead.url()}, at_ms=rig.clock.ms + HOUR + 1)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await rig.pass_time(501)
    pressure, key = rig.parts.pressure, Key("default", "127.0.0.1")
    assert not pressure.is_choked(now_ms=rig.clock.ms)
    pressure.note_quick(key, now_ms=rig.clock.ms)
    assert pressure.is_choked(now_ms=rig.clock.ms)
    await rig.tick()
    assert key not in pressure.untold


async def test_who_had_all_it_may_have_and_has_caught_up_wakes_no_more_looks(rig: Rig) -> None:
    await _crowd(rig, rig.receiver.url())
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await rig.pass_time(500)
    await rig.send()
    while len(rig.receiver.requests) < CROWD:
        await rig.tick()
        await rig.send()
    await rig.tick()
    assert not rig.parts.pressure.is_choked(now_ms=rig.clock.ms)
