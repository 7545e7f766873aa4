"""The right to work: lost, regained, taken over. What is held without it is never sent."""

import asyncio
import json
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from factories import MORNING_MS
from receiver import OK, Receiver, held, raw
from rig import HOUR, SECOND, Rig, attempts, rigged
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.stream import happened
from scheduler_svc.engine import dispatch, settle, tick, upkeep
from scheduler_svc.store import replicas
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.timers import Mark

EVERY = {"every": "1h"}


async def _hold_one(rig: Rig, **changes: Any) -> None:
    """Claim one occurrence 500 ms ahead of its instant."""
    await rig.job(**{"schedule": EVERY, **changes})
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert len(rig.held()) == 1


async def test_a_held_run_is_not_sent_when_the_lease_has_run_out(rig: Rig) -> None:
    await _hold_one(rig)
    rig.clock.move(15 * SECOND)
    await rig.send()
    assert rig.receiver.requests == []
    assert len(rig.outbox.lapsed) == 1


async def test_the_lease_ends_for_its_holder_before_it_ends_for_the_others(rig: Rig) -> None:
    await rig.beat()
    until = await rig.parts.pool.fetchval("SELECT lease_until FROM replicas")
    assert until == instant_at(rig.clock.ms + 15 * SECOND)
    rig.clock.move(14 * SECOND - 1)
    assert rig.parts.lease.held
    rig.clock.move(1)
    assert not rig.parts.lease.held


async def test_a_run_that_lapsed_goes_back_and_is_sent_once(rig: Rig) -> None:
    await _hold_one(rig)
    rig.clock.move(15 * SECOND)
    await rig.send()
    await rig.beat()
    await upkeep.give_back_lapsed(rig.parts, rig.outbox)
    assert rig.held() == []
    assert (await rig.run())["attempt_count"] == 0
    await rig.work()
    assert await rig.said() == [("succeeded", None)]
    assert (await rig.run())["attempt_count"] == 1
    assert len(rig.receiver.requests) == 1


async def test_what_can_not_be_sent_any_more_goes_back_without_waiting_for_the_next_look(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "RESCUE_SECONDS", 3600.0)
    await _hold_one(rig)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        loop = tasks.create_task(upkeep.rescues(rig.parts, rig.heart, rig.outbox))
        await asyncio.sleep(0)  # it waits now
        rig.outbox.unsendable(rig.held()[0])
        while rig.held():  # noqa: ASYNC110 - another task writes to the database
            await asyncio.sleep(0.001)
        loop.cancel()
    assert (await rig.run())["attempt_count"] == 0


async def test_a_new_lease_is_no_right_to_what_was_held_under_the_old_one(
    engine_pool: Pool, other: Rig, receiver: Receiver
) -> None:
    """The process stood still; another replica took over what it held, before its instant."""
    async with rigged(engine_pool, receiver, clock=other.clock, lookahead_ms=60_000) as rig:
        await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR - 50 * SECOND)
        await rig.beat()
        await rig.tick()
        assert len(rig.held()) == 1
        rig.clock.move(16 * SECOND)
        await other.beat()
        assert await upkeep.rescue(other.parts) == 1
        await rig.beat()
        await rig.pass_time(34 * SECOND)
        await rig.send()
        assert receiver.requests == []
        await upkeep.give_back_lapsed(rig.parts, rig.outbox)
        assert rig.held() == []
        await other.beat()
        await other.work()
        assert [one.headers["scheduler-attempt"] for one in receiver.requests] == ["2"]
        assert await rig.said() == [("succeeded", None)]


async def test_the_runs_of_a_dead_replica_are_sent_by_another_with_a_higher_attempt(
    rig: Rig, other: Rig
) -> None:
    await _hold_one(rig)
    await rig.beat()
    await other.pass_time(15 * SECOND)
    await other.beat()
    assert await upkeep.rescue(other.parts) == 0
    await other.pass_time(1)
    assert await upkeep.rescue(other.parts) == 1
    run = await rig.run()
    assert (run["status"], run["attempt_count"], run["lost_count"]) == ("due", 1, 1)
    lost = json.loads(run["attempts"][0])
    assert (lost["number"], lost["outcome"]) == (1, "lost")
    assert lost["replica"] == str(rig.parts.replica)
    await other.work()
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("succeeded", 2)
    assert run["lateness_ms"] == rig.clock.ms - MORNING_MS - HOUR
    assert [told["run_id"] for told in other.told(EventName.RUN_RESCUED)] == [run["id"]]


async def test_what_the_old_holder_says_after_a_take_over_changes_nothing(
    rig: Rig, other: Rig
) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, raw(OK)))
    await _hold_one(rig)
    await rig.beat()
    await rig.pass_time(500)
    async with rig.sending():
        await other.pass_time(16 * SECOND)
        await other.beat()
        await upkeep.rescue(other.parts)
        await other.tick()
        gate.set()
    run = await rig.run()
    assert (run["status"], run["replica"]) == ("running", other.parts.replica)
    assert len(rig.told(EventName.SETTLE_SUPERSEDED)) == 1
    assert rig.held() == []
    await other.send()
    assert await rig.said() == [("succeeded", None)]


async def test_a_run_that_outlives_four_replicas_ends(rig: Rig, other: Rig) -> None:
    await _hold_one(rig, retry={"max_attempts": 2})
    await rig.pass_time(SECOND)
    for _ in range(4):
        await rig.beat()
        await other.pass_time(20 * SECOND)
        await other.beat()
        await upkeep.rescue(other.parts)
        rig.parts.hand.drop(rig.held()[0])
        await rig.beat()
        await rig.tick()
    assert await rig.said() == [("failed", "attempts")]
    assert (await rig.run())["attempt_count"] == 4


async def test_the_stream_tells_what_becomes_of_a_run_that_is_taken_over(
    rig: Rig, other: Rig
) -> None:
    await _hold_one(rig)
    for _ in range(4):
        await rig.beat()
        await other.pass_time(20 * SECOND)
        await other.beat()
        await upkeep.rescue(other.parts)
        rig.parts.hand.drop(rig.held()[0])
        await rig.beat()
        await rig.tick()
    told = [happened(name, fields, at_ms=0) for name, fields in other.events]
    of_the_run = [one for one in told if one is not None and one.name.startswith("run.")]
    assert {one.subject for one in of_the_run} == {(await rig.run())["id"]}
    names = [(one.name, one.status) for one in of_the_run]
    assert names == [*[("run.retrying", "due")] * 3, ("run.failed", "failed")]
    (name, fields) = other.events[-1]
    assert happened(name, fields | {"trigger": "alert"}, at_ms=0) is None


async def test_lost_attempts_do_not_use_up_those_of_the_job(rig: Rig, other: Rig) -> None:
    await _hold_one(rig, retry={"max_attempts": 1})
    await rig.beat()
    await other.pass_time(20 * SECOND)
    await other.beat()
    await upkeep.rescue(other.parts)
    await other.work()
    assert await rig.said() == [("succeeded", None)]


async def test_a_run_of_ours_that_is_not_in_our_hand_is_put_back(rig: Rig) -> None:
    """The claim committed and its answer was lost."""
    await _hold_one(rig)
    rig.parts.hand.drop(rig.held()[0])
    assert await upkeep.give_back_strays(rig.parts) == 0  # perhaps it is still being claimed
    await rig.pass_time(5001)
    assert await upkeep.give_back_strays(rig.parts) == 1
    await rig.work()
    assert await rig.said() == [("succeeded", None)]
    assert (await rig.run())["attempt_count"] == 1


async def test_what_is_in_our_hand_is_no_stray(rig: Rig) -> None:
    await _hold_one(rig)
    await rig.pass_time(10 * SECOND)
    assert await upkeep.give_back_strays(rig.parts) == 0


async def test_a_run_claimed_anew_stays_when_the_end_of_its_last_attempt_is_noted(
    rig: Rig,
) -> None:
    await _hold_one(rig)
    old = rig.held()[0]
    rig.parts.hand.add(old.claim, old.job)
    rig.parts.hand.drop(old)
    assert len(rig.held()) == 1


async def test_a_run_claimed_anew_for_a_later_instant_does_not_go_at_the_old_one(
    rig: Rig,
) -> None:
    await _hold_one(rig)
    old = rig.held()[0]
    rig.parts.hand.drop(old)
    later = type(old.claim)(
        id=old.claim.id,
        job_id=old.claim.job_id,
        scheduled_ms=old.claim.scheduled_ms,
        fire_ms=old.claim.fire_ms + 700,
        trigger="schedule",
        attempt=1,
    )
    rig.parts.hand.add(later, old.job)
    assert rig.parts.hand.pop_due(old.claim.fire_ms + 699) == []
    assert len(rig.parts.hand.pop_due(old.claim.fire_ms + 700)) == 1


async def test_an_attempt_looks_at_the_lease_once_more_before_it_sends(rig: Rig) -> None:
    await _hold_one(rig)
    await rig.pass_time(500)
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        rig.clock.move(15 * SECOND)  # the process stood still between the two
    assert rig.receiver.requests == []
    assert len(rig.outbox.lapsed) == 1


async def test_forgetting_deletes_what_the_timer_still_has_to_decide(
    rig: Rig, engine_pool: Pool
) -> None:
    await _hold_one(rig)
    job = (await rig.run())["job_id"]
    await engine_pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    assert (await rig.timer(job))["runs_made"] == 1
    await upkeep.give_up(rig.parts, rig.held(), forget=True)
    assert await rig.runs() == []
    assert (await rig.timer(job))["runs_made"] == 0
    await rig.tick()
    assert len(rig.held()) == 1


async def test_forgetting_too_late_loses_no_occurrence(
    rig: Rig, other: Rig, engine_pool: Pool
) -> None:
    """The edit put the timer back to the held run; another replica's pass came to it first."""
    await _hold_one(rig)
    job = (await rig.run())["job_id"]
    await engine_pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    rig.parts.hand.withdraw(rig.held())
    await other.pass_time(500)
    await other.tick()
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 2 * HOUR)
    assert (await rig.timer(job))["runs_made"] == 1
    await upkeep.give_up(rig.parts, rig.held(), forget=True)
    await other.work()
    assert await rig.said() == [("succeeded", None)]
    assert len(rig.receiver.requests) == 1


async def test_what_a_pause_takes_back_is_deleted_however_late(rig: Rig, engine_pool: Pool) -> None:
    await _hold_one(rig)
    await engine_pool.execute("UPDATE job_timers SET scheduled_for = NULL, fire_at = NULL")
    await engine_pool.execute("UPDATE jobs SET state = 'paused', pause = '{}'")
    rig.parts.hand.withdraw(rig.held())
    await rig.pass_time(SECOND)
    await upkeep.give_up(rig.parts, rig.held(), forget=True)
    assert await rig.runs() == []


async def test_a_retry_that_is_to_be_forgotten_goes_back_instead(
    rig: Rig, other: Rig, engine_pool: Pool
) -> None:
    await _hold_one(rig)
    await rig.beat()
    await other.pass_time(20 * SECOND)
    await other.beat()
    await upkeep.rescue(other.parts)
    await other.tick()
    await upkeep.give_up(other.parts, other.held(), forget=True)
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("due", 1)


async def test_a_run_that_is_released_keeps_its_instant_and_goes_out_on_time(
    rig: Rig, other: Rig
) -> None:
    await _hold_one(rig)
    await upkeep.give_up(rig.parts, rig.held(), forget=False)
    await other.pass_time(0)
    await other.tick()
    assert len(other.held()) == 1
    await other.send()
    assert rig.receiver.requests == []
    await other.pass_time(500)
    await other.send()
    assert (await rig.run())["lateness_ms"] == 0


async def test_a_replica_that_leaves_hands_over_what_it_holds_at_once(
    rig: Rig, other: Rig, engine_pool: Pool
) -> None:
    await _hold_one(rig)
    await rig.beat()
    async with transaction(engine_pool) as conn:
        await replicas.end_lease(conn, rig.parts.replica, now_ms=rig.clock.ms)
    await other.pass_time(0)
    assert await upkeep.rescue(other.parts) == 1


async def test_a_replica_that_beats_again_is_not_rescued(rig: Rig, other: Rig) -> None:
    await _hold_one(rig)
    for _ in range(10):
        await rig.pass_time(3 * SECOND)
        await rig.beat()
        await other.pass_time(0)
        assert await upkeep.rescue(other.parts) == 0


async def test_a_pass_under_way_when_the_lease_ends_sends_nothing(
    rig: Rig, engine_pool: Pool
) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await tick.claim_timers(rig.parts, Mark(), room=10, portion=10)
    rig.clock.move(20 * SECOND)
    await rig.send()
    assert rig.receiver.requests == []


async def test_an_attempt_that_waited_for_its_connection_beyond_the_lease_is_not_sent(
    rig: Rig, other: Rig
) -> None:
    """As when a process is stopped between the look at its lease and the writing, and woken later.

    That it has beaten since does not help: another has made the run its own meanwhile.
    """
    found = threading.Event()

    def slowly(_: str) -> list[str]:
        assert found.wait(20)
        return ["127.0.0.1"]

    rules = EgressRules.parse(allow=("127.0.0.0/8", "localhost"), own=[])
    sender = Sender(egress=rules, resolver=slowly)
    rig.parts = replace(rig.parts, sender=sender)
    other.parts = replace(other.parts, sender=sender)
    await _hold_one(rig, target={"url": f"http://localhost:{rig.receiver.port}/"})
    rig.clock.move(500)
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await asyncio.sleep(0)  # it has looked at its lease, and asks for the name
        rig.clock.move(16 * SECOND)
        await other.beat()
        assert await upkeep.rescue(other.parts) == 1
        await rig.beat()
        assert rig.parts.lease.held
        found.set()
    assert rig.receiver.requests == []
    assert [held.claim.attempt for held, _ in rig.outbox.lapsed] == [1]
    await upkeep.give_back_lapsed(rig.parts, rig.outbox)
    assert rig.held() == []
    await other.work()
    (sent,) = rig.receiver.requests
    assert sent.headers["scheduler-attempt"] == "2"
    assert await rig.said() == [("succeeded", None)]
    await sender.close()


async def test_ends_that_nobody_waited_for_any_more_are_told_as_what_they_are(
    engine_pool: Pool, receiver: Receiver, pool: Pool
) -> None:
    """The database stood still for longer than a settle waits, and then carried it out."""
    async with rigged(engine_pool, receiver, database_seconds=0.3) as rig:
        await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR)
        await rig.tick()
        async with attempts(rig.parts) as tasks:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
        async with transaction(pool, seconds=60) as conn:
            await conn.execute("SELECT 1 FROM runs FOR UPDATE")
            with pytest.raises(TimeoutError):
                await settle.flush(rig.parts, rig.outbox)
        async with asyncio.timeout(30):
            while (await rig.run())["status"] == "running":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await settle.flush(rig.parts, rig.outbox)
        assert rig.told(EventName.SETTLE_SUPERSEDED) == []
        assert len(rig.told(EventName.RUN_SUCCEEDED)) == 1
        assert rig.held() == []
