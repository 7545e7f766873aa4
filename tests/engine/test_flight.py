"""Attempts that no task waits for: whatever ends them, they take nothing with them."""

import asyncio
import gc
import random
from collections import Counter

import pytest
from msgspec.structs import replace

from receiver import OK, Receiver, answer, held, in_turn, raw
from rig import HOUR, Rig, attempts, rigged
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.pressure import BreakerRules
from scheduler_svc.engine import dispatch
from scheduler_svc.engine.flight import Flight
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}
LOOPBACK = EgressRules.parse(allow=("127.0.0.0/8", "localhost"), own=[])
ONE_FAILURE = PressureRules(share=1.0, breaker=BreakerRules(failures=1))


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer 0123456789"}], ids=["short", "long"]
)
async def test_a_fault_of_ours_does_not_speak_against_the_target(
    engine_pool: Pool, receiver: Receiver, headers: dict[str, str]
) -> None:
    """Neither on the short way, which this job takes without a header, nor on the long one."""
    async with rigged(engine_pool, receiver, pressure=ONE_FAILURE) as rig:
        sender = Sender(egress=LOOPBACK, resolver=lambda _: ["no address at all"])
        rig.parts = replace(rig.parts, sender=sender)
        await rig.job(
            schedule=EVERY, target={"url": "http://localhost/", "sign": False, "headers": headers}
        )
        await rig.pass_time(HOUR)
        await rig.work()
        await sender.close()
        assert (await rig.run())["status"] == "due"
        assert rig.parts.pressure.news == {}


async def test_cancels_at_any_step_leave_no_slot_taken_and_no_run_unended(rig: Rig) -> None:
    draw = random.Random(7)
    sender = Sender(egress=LOOPBACK, connections_per_origin=2)
    rig.parts = replace(rig.parts, sender=sender)
    rig.receiver.on(
        "/",
        in_turn(
            *[answer(headers=draw.choice([{}, {}, {"Connection": "close"}])) for _ in range(240)]
        ),
    )
    for _ in range(8):
        await rig.job(schedule=EVERY, retry={"max_attempts": 1})
    await rig.pass_time(HOUR)
    for _ in range(30):
        await rig.tick()
        ids = [held.claim.id for held in rig.parts.hand]
        async with attempts(rig.parts) as tasks:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
            for run_id in draw.sample(ids, draw.randrange(1, len(ids))):
                for _ in range(draw.randrange(12)):
                    await asyncio.sleep(0)
                dispatch.cancel(rig.parts, rig.outbox, run_id)
        await rig.settle()
        assert rig.held() == []
        await rig.pass_time(HOUR)
    said = Counter(status for status, _ in await rig.said())
    assert set(said) <= {"succeeded", "cancelled"}
    assert said["succeeded"] > 10
    assert said["cancelled"] > 10
    sent = Counter(request.headers["webhook-id"] for request in rig.receiver.requests)
    assert set(sent.values()) == {1}
    assert all(origin.in_use == 0 for origin in sender._pool.origins.values())
    await sender.close()
    assert sender._pool.origins == {}


async def test_nothing_of_an_attempt_stays_when_it_has_ended(rig: Rig) -> None:
    for _ in range(3):
        await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    gc.collect()
    assert [one for one in gc.get_objects() if isinstance(one, Flight)] == []


async def test_what_is_cut_off_in_line_while_dialling_and_under_way_is_rescued_and_not_settled(
    rig: Rig, other: Rig
) -> None:
    """As at the end of a drain: its end is not known, or it was not sent."""
    sender = Sender(egress=LOOPBACK, connections_per_origin=1)
    rig.parts = replace(rig.parts, sender=sender)
    rig.receiver.on("/", held(asyncio.Event(), raw(OK)))
    for _ in range(3):
        await rig.job(schedule=EVERY)
    await rig.beat()
    await rig.pass_time(HOUR)
    await rig.beat()
    await rig.tick()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await rig.receiver.wait_for(1)
        for one in rig.parts.hand.sending():
            assert one.task is not None
            one.task.cancel()
    assert rig.outbox.ended == []
    assert len(rig.held()) == 3
    assert all(origin.in_use == 0 for origin in sender._pool.origins.values())
    await sender.close()
