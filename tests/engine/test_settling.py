"""Settling beside everything else: slots change hands meanwhile, and come back if it fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from receiver import Receiver
from rig import HOUR, Rig, attempts, rigged
from scheduler_svc.domain.pressure import BreakerRules
from scheduler_svc.engine import chain, dispatch, settle
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Connection, Pool, connection, transaction
from stopping import waiting

EVERY = {"every": "1h"}
SLOTS = 4
JOBS = 2 * SLOTS
QUARTER = PressureRules(share=0.25, breaker=BreakerRules(failures=0))


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=SLOTS) as built:
        yield built


async def _claim_and_send(rig: Rig) -> None:
    """Have all slots taken by runs that are over, and more jobs due."""
    for _ in range(JOBS):
        await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    await _send(rig)
    assert (len(rig.held()), len(rig.outbox.ended), rig.parts.hand.free) == (SLOTS, SLOTS, 0)


async def _send(rig: Rig) -> None:
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)


@asynccontextmanager
async def _locked(pool: Pool) -> AsyncIterator[Connection]:
    """Keep everybody from settling what is in the ledger now."""
    async with transaction(pool) as conn, connection(pool, seconds=60) as looking:
        await conn.execute("SELECT FROM runs FOR UPDATE")
        yield looking


async def test_the_slots_of_what_is_being_settled_are_free(rig: Rig, pool: Pool) -> None:
    await _claim_and_send(rig)
    rig.parts.to_claim.clear()
    async with _locked(pool) as looking:
        settling = asyncio.create_task(settle.flush(rig.parts, rig.outbox))
        await waiting(looking, 1)
        await asyncio.wait_for(rig.parts.to_claim.wait(None), 10)  # who had no room is told
        assert rig.parts.hand.free == SLOTS
        await rig.tick()
        assert (len(rig.held()), rig.parts.hand.free) == (JOBS, 0)
    await settling
    assert (len(rig.held()), rig.parts.hand.free) == (JOBS - SLOTS, 0)
    await rig.send()
    assert (len(rig.receiver.requests), rig.parts.hand.free) == (JOBS, SLOTS)
    assert {row["status"] for row in await rig.runs()} == {"succeeded"}


async def test_what_can_not_be_settled_keeps_its_slots(
    engine_pool: Pool, receiver: Receiver, pool: Pool
) -> None:
    async with rigged(engine_pool, receiver, slots=SLOTS, batch=SLOTS, database_seconds=0.5) as rig:
        await _claim_and_send(rig)
        async with _locked(pool):
            with pytest.raises(TimeoutError):
                await settle.flush(rig.parts, rig.outbox)
            assert (len(rig.outbox.ended), rig.parts.hand.free) == (SLOTS, 0)
            assert rig.parts.hand.of_namespace("default") == SLOTS
        # One is let go of meanwhile, as after a lease that was lost: it is counted once.
        rig.parts.hand.drop(rig.held()[0])
        assert (rig.parts.hand.free, rig.parts.hand.of_namespace("default")) == (1, SLOTS - 1)
        await rig.settle()
        assert (rig.held(), rig.parts.hand.free) == ([], SLOTS)
        assert rig.parts.hand.of_namespace("default") == 0


async def test_a_pass_without_room_for_a_quick_key_goes_on_when_there_is(
    engine_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its calls to be settled, and does not come back for each of them."""
    monkeypatch.setattr(chain, "ROOM_SECONDS", 60.0)
    async with rigged(engine_pool, receiver, slots=40, batch=20, pressure=QUARTER) as rig:
        for _ in range(60):
            await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR)
        await rig.work()  # a quarter of the slots, and then it is known to be quick
        await rig.tick()
        assert len(rig.held()) == 30
        await _send(rig)
        async with asyncio.timeout(30):
            ticking = asyncio.create_task(rig.tick())
            while not rig.parts.slots_free._sleeping:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await rig.settle()
            await ticking
        assert len(rig.held()) == 20
        assert [row["status"] for row in await rig.runs()].count("due") == 0


def test_a_full_batch_of_ends_waits_for_no_more(rig: Rig) -> None:
    anything: Any = None  # they are counted, no more
    rig.outbox.ended += [anything] * settle.BATCH_MAX
    with pytest.raises(StopIteration):
        settle._gather(rig.outbox).send(None)
