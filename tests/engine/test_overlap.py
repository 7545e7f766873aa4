"""What becomes of an occurrence while a run of its job is unfinished: running, or waiting."""

import asyncio
from typing import Any

import pytest

from factories import MORNING_MS
from receiver import OK, answer, held, raw
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.ids import instant_at, run_id
from scheduler_svc.store import settlements
from scheduler_svc.store.pool import Pool, transaction

EVERY = {"every": "10s"}
SLOW = {"max_attempts": 4, "initial_delay": "5s", "jitter": "none", "deadline": "1h"}


async def _first_at_the_receiver(rig: Rig, gate: asyncio.Event, **job: Any) -> None:
    """Leave the job's first occurrence unanswered until the gate opens."""
    rig.receiver.on("/", held(gate, raw(OK)))
    await rig.job(schedule=EVERY, **job)
    await rig.pass_time(10 * SECOND)
    await rig.tick()


async def test_a_job_with_an_unfinished_run_is_not_claimed_ahead(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate)
    async with rig.sending():
        await rig.pass_time(9500)
        seconds = await rig.tick()
        assert len(await rig.runs()) == 1
        assert seconds == pytest.approx(0.5)
        gate.set()
    await rig.pass_time(500)
    await rig.work()
    assert await rig.said() == [("succeeded", None)] * 2


async def test_skip_writes_the_occurrence_down_and_sends_nothing(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="skip")
    async with rig.sending():
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        gate.set()
    assert await rig.said() == [("succeeded", None), ("skipped", "overlap")]
    assert len(rig.receiver.requests) == 1


async def test_queue_holds_one_back_and_skips_the_next(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="queue")
    async with rig.sending():
        for _ in range(2):
            await rig.pass_time(10 * SECOND)
            await rig.tick()
        assert [s for s, _ in await rig.said()] == ["running", "due", "skipped"]
        assert rig.held() == [] or all(h.sending for h in rig.held())
        gate.set()
    await rig.work()
    assert await rig.said() == [
        ("succeeded", None),
        ("succeeded", None),
        ("skipped", "overlap"),
    ]
    assert len(rig.receiver.requests) == 2


async def test_cancel_ends_the_running_one_and_sends_the_new_one(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="cancel")
    async with rig.sending():
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        await rig.beat()  # the backstop of the notice
    gate.set()
    await rig.send()
    assert await rig.said() == [("cancelled", "cancelled"), ("succeeded", None)]
    first = (await rig.runs())[0]
    assert '"outcome":"cancelled"' in first["attempts"][0]


async def test_allow_sends_beside_the_running_one_and_claims_ahead(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="allow")
    async with rig.sending():
        await rig.pass_time(9500)
        await rig.tick()
        assert [s for s, _ in await rig.said()] == ["running", "running"]
        await rig.pass_time(500)
        async with rig.sending():
            gate.set()
    assert await rig.said() == [("succeeded", None)] * 2


@pytest.mark.parametrize("policy", ["skip", "queue", "cancel", "allow"])
async def test_a_run_that_waits_for_its_retry_counts_as_unfinished(rig: Rig, policy: str) -> None:
    rig.receiver.on("/", answer(500))
    await rig.job(schedule=EVERY, overlap=policy, retry=SLOW | {"initial_delay": "1m"})
    await rig.pass_time(10 * SECOND)
    await rig.work()
    rig.receiver.on("/", raw(OK))
    await rig.pass_time(10 * SECOND)
    await rig.work()
    wanted = {
        "skip": [("due", None), ("skipped", "overlap")],
        "queue": [("due", None), ("due", None)],
        "cancel": [("cancelled", "overlap"), ("succeeded", None)],
        "allow": [("due", None), ("succeeded", None)],
    }
    assert await rig.said() == wanted[policy]


async def test_a_queued_run_goes_when_the_retry_before_it_has_ended(rig: Rig) -> None:
    rig.receiver.on("/", answer(500))
    await rig.job(schedule=EVERY, overlap="queue", retry=SLOW | {"initial_delay": "1m"})
    await rig.pass_time(10 * SECOND)
    await rig.work()
    await rig.pass_time(10 * SECOND)
    await rig.work()
    rig.receiver.on("/", raw(OK))
    await rig.pass_time(50 * SECOND)
    await rig.work()
    await rig.work()
    runs = await rig.runs()
    assert [row["status"] for row in runs][:2] == ["succeeded", "succeeded"]
    assert runs[0]["attempt_count"] == 2


async def test_a_queued_run_whose_predecessor_ended_unseen_is_let_go_by_the_upkeep(
    rig: Rig, engine_pool: Pool
) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="queue")
    async with rig.sending():
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        gate.set()
    await engine_pool.execute(
        "UPDATE runs SET queued = true WHERE status = 'due'"
    )  # as if the run had been written just after its predecessor's end was settled
    async with transaction(engine_pool) as conn:
        freed = await settlements.release_stranded(conn, now_ms=rig.clock.ms)
    assert len(freed) == 1
    await rig.work()
    assert await rig.said() == [("succeeded", None)] * 2


@pytest.mark.parametrize("policy", ["skip", "allow"])
async def test_an_occurrence_that_another_replica_still_holds_is_not_claimed_ahead(
    rig: Rig, other: Rig, engine_pool: Pool, policy: str
) -> None:
    """An edit put the timer back; the holder has not given the run up yet."""
    job = await rig.job(schedule={"every": "1h"}, overlap=policy)
    await rig.pass_time(HOUR - 500)
    await other.pass_time(0)
    await rig.tick()
    await engine_pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    await other.tick()
    assert other.held() == []
    assert (await other.timer(job))["fire_at"] == instant_at(MORNING_MS + HOUR)
    # given up in time: the other one sends it
    async with transaction(engine_pool) as conn:
        gone = await settlements.forget_runs(
            conn, [rig.held()[0].key], replica=rig.parts.replica, now_ms=rig.clock.ms
        )
    assert gone == {run_id(job, MORNING_MS + HOUR)}
    await other.tick()
    await other.pass_time(500)
    await other.work()
    assert await other.said(job) == [("succeeded", None)]


async def test_queue_counts_a_minute_of_waiting_as_lateness(rig: Rig) -> None:
    gate = asyncio.Event()
    await _first_at_the_receiver(rig, gate, overlap="queue")
    async with rig.sending():
        await rig.pass_time(10 * SECOND)
        await rig.tick()
        await rig.pass_time(MINUTE)
        gate.set()
    await rig.work()
    assert (await rig.runs())[1]["lateness_ms"] == MINUTE
