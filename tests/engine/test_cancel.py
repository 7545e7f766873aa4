"""Cancelling: of what is held, of what is being sent, of what has just ended."""

import asyncio
import json

from msgspec.structs import replace

from factories import MORNING_MS
from receiver import OK, answer, held, raw
from rig import HOUR, SECOND, Rig, attempts
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine import dispatch, upkeep
from scheduler_svc.store import runs
from scheduler_svc.store.pool import connection

EVERY = {"every": "1h"}


async def _ask(rig: Rig) -> None:
    """Ask for the end of the only run, as the API does."""
    run = await rig.run()
    async with connection(rig.parts.pool) as conn:
        assert await runs.ask_cancel(conn, run["id"])


async def test_a_held_run_that_is_cancelled_is_never_sent(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await _ask(rig)
    await rig.beat()
    await rig.settle()
    await rig.pass_time(SECOND)
    await rig.work()
    assert rig.receiver.requests == []
    assert await rig.said() == [("cancelled", "cancelled")]
    assert (await rig.run())["attempts"] == []
    assert rig.held() == []


async def test_a_run_that_is_being_sent_is_cut_off(rig: Rig) -> None:
    rig.receiver.on("/", held(asyncio.Event(), raw(OK)))
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        await _ask(rig)
        await rig.beat()
    assert await rig.said() == [("cancelled", "cancelled")]
    (attempt,) = (await rig.run())["attempts"]
    assert json.loads(attempt)["outcome"] == "cancelled"
    assert len(rig.told(EventName.RUN_CANCELLED)) == 1


async def test_a_run_whose_task_has_not_begun_is_cancelled_all_the_same(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    run = await rig.run()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        dispatch.cancel(rig.parts, rig.outbox, run["id"])
    await rig.settle()
    assert rig.receiver.requests == []
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_a_cancel_after_the_answer_does_not_undo_it(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    run = await rig.run()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
    dispatch.cancel(rig.parts, rig.outbox, run["id"])
    await rig.settle()
    assert await rig.said() == [("succeeded", None)]


async def test_a_cancel_after_a_failure_leaves_no_retry(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    run = await rig.run()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
    dispatch.cancel(rig.parts, rig.outbox, run["id"])
    await rig.settle()
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_a_cancel_that_its_holder_has_not_heard_of_leaves_no_retry(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    async with rig.sending():
        await _ask(rig)
    run = await rig.run()
    assert (run["status"], run["reason"]) == ("cancelled", "cancelled")
    assert run["finished_at"] is not None
    assert rig.told(EventName.RUN_RETRYING) == []


async def test_a_held_run_that_is_given_up_after_a_cancel_does_not_come_back(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await _ask(rig)
    await upkeep.give_up(rig.parts, rig.held(), forget=False)
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_a_cancel_survives_the_death_of_the_holder(rig: Rig, other: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.beat()
    await rig.tick()
    await _ask(rig)
    await other.pass_time(20 * SECOND)
    await other.beat()
    await upkeep.rescue(other.parts)
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_cancelling_one_occurrence_does_not_touch_the_next(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    await _ask(rig)
    await rig.beat()
    await rig.settle()
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 2 * HOUR)
    await rig.pass_time(HOUR + 500)
    await rig.work()
    assert [status for status, _ in await rig.said()] == ["cancelled", "succeeded"]


async def test_a_call_in_line_that_is_cancelled_is_never_made(rig: Rig) -> None:
    """And those before and behind it are: they share one connection."""
    rules = EgressRules.parse(allow=("127.0.0.0/8",), own=[])
    sender = Sender(egress=rules, connections_per_origin=1)
    rig.parts = replace(rig.parts, sender=sender)
    for _ in range(3):
        await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.tick()
    first, second, third = (held.claim.id for held in rig.parts.hand)
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await asyncio.sleep(0)
        dispatch.cancel(rig.parts, rig.outbox, second)
    await rig.settle()
    await sender.close()
    made = [request.headers["webhook-id"] for request in rig.receiver.requests]
    assert made == [str(first), str(third)]
    ended = {row["id"]: row["status"] for row in await rig.runs()}
    assert ended == {first: "succeeded", second: "cancelled", third: "succeeded"}
