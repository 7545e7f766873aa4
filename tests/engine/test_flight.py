"""Attempts that no task waits for: whatever ends them, they take nothing with them."""

import asyncio
import gc
import json
import random
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from receiver import OK, Behaviour, Receiver, answer, endless, held, in_turn, raw, reset, silence
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


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n"
ENDS: dict[str, tuple[str, Behaviour]] = {
    "ok": ("POST", answer(200, b'{"a": 1}', {"Content-Type": "application/json"})),
    "head": ("HEAD", raw(HEAD + b"\r\n")),
    "gone": ("POST", answer(410)),
    "later": ("POST", answer(429, b"", {"Retry-After": "17"})),
    "never": ("POST", answer(503, b"", {"Scheduler-No-Retry": "true"})),
    "moved": ("POST", answer(302, b"", {"Location": "/ok"})),
    "secret": ("GET", answer(200, b"\xff\x00", {"Set-Cookie": "a=b", "X-Seen": "1"})),
    "informed": ("POST", raw(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK)),
    "huge": ("POST", endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 9000 + b"\r\n")),
    "long": ("POST", endless(b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 5000)),
    "cut": ("POST", raw(HEAD + b"\r\nhalf", then_close=True)),
    "reset": ("POST", reset()),
    "broken": ("POST", raw(b"nothing of HTTP")),
    "silent": ("POST", silence()),
    "slow": ("POST", silence(HEAD)),
}


async def test_the_short_way_and_the_long_one_end_alike(rig: Rig) -> None:
    """Whatever comes of a call. What follows redirects takes the long one."""
    made = {}
    for path, (method, behaviour) in ENDS.items():
        url = rig.receiver.on(f"/{path}", behaviour)
        for way, redirects in (("short", 0), ("long", 1 if path != "moved" else 0)):
            target = {"url": url, "method": method, "redirects": redirects, "timeout": "1s"}
            if path == "moved" and way == "long":
                target["headers"] = {"Authorization": "Bearer 0123456789"}
            retry = {"jitter": "none"}
            made[path, way] = await rig.job(schedule=EVERY, target=target, retry=retry)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        flown = [isinstance(one.task, Flight) for one in rig.parts.hand.sending()]
        assert sum(flown) == len(ENDS)
    await rig.settle()
    ended = {place: await _end(rig, job) for place, job in made.items()}
    assert {path: ended[path, "short"] for path in ENDS} == {
        path: ended[path, "long"] for path in ENDS
    }
    assert len({(status, attempt["outcome"]) for (status, _, _, attempt), _ in ended.values()}) > 6
    assert ended["gone", "short"][1] == "paused"


async def _end(rig: Rig, job: UUID) -> tuple[tuple[str, str | None, object, dict[str, Any]], str]:
    run = await rig.run(job)
    (text,) = run["attempts"]
    attempt = json.loads(text)
    del attempt["duration_ms"], attempt["timing"]
    end = (run["status"], run["reason"], run["next_attempt_at"], attempt)
    return end, await rig.state(job)
