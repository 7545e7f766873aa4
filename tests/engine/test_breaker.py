"""Breakers: a key that fails is left alone, asked once in a while by one call, and let go again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from factories import waiting_run
from pressing import KEY, deferrals, held, limit, pass_time, replicas
from receiver import OK, Receiver, answer, raw, reset, silence
from rig import HOUR, MINUTE, SECOND, Rig, attempts, rigged
from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.pressure import BreakerRules, Key
from scheduler_svc.engine import dispatch, judged, keys, upkeep
from scheduler_svc.engine import run as engine_run
from scheduler_svc.engine.placing import TELLING_MS
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.pressure import prune_keys, read_keys

KEYED = {"concurrency_key": "k"}
RULES = PressureRules(
    share=1.0, breaker=BreakerRules(failures=3, wait_ms=10_000, wait_max_ms=40_000)
)
ONCE = {"max_attempts": 1}


@pytest.fixture
async def rigs(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[list[Rig]]:
    async with replicas(engine_pool, receiver, pressure=RULES) as built:
        yield built


async def _state(pool: Pool, key: Key = KEY) -> str:
    async with transaction(pool) as conn:
        found = (await read_keys(conn, [key])).get(key)
    return "none" if found is None else found.breaker.state


async def _work(rigs: list[Rig]) -> None:
    """Claim, send, settle; and the beginning of the pass that a breaker's news ring for."""
    await asyncio.gather(*(rig.tick() for rig in rigs))
    await asyncio.gather(*(rig.send() for rig in rigs))
    for rig in rigs:
        await keys.keep(rig.parts)


async def _opened(rigs: list[Rig], receiver: Receiver, **job: Any) -> None:
    """Have the target fail until the breaker of its key is open, and all replicas know."""
    receiver.on("/", answer(503))
    for _ in range(3):
        await rigs[0].job(
            schedule={"every": "1h"}, overlap="allow", **{"target": KEYED, "retry": ONCE, **job}
        )
    await pass_time(rigs, HOUR)
    await rigs[0].work()
    for rig in rigs:
        rig.parts.pressure.stale = True
        await rig.tick()
    assert len(receiver.requests) == 3
    assert await _state(rigs[0].parts.pool) == "open"


async def _look(rigs: list[Rig]) -> None:
    """Have each look at the key anew, and claim what it may have."""
    for rig in rigs:
        rig.parts.pressure.stale = True
        await rig.tick()
        await rig.tick()


async def test_under_a_target_that_fails_for_a_minute_it_defers_probes_with_one_call_and_closes(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    retry = {"max_attempts": 4, "initial_delay": "5s", "multiplier": 1, "jitter": "none"}
    receiver.on("/", answer(503))
    for _ in range(20):
        await rigs[0].job(schedule={"every": "1h"}, target=KEYED, retry=retry)
    began = HOUR
    await pass_time(rigs, began)
    calls: list[tuple[int, int]] = []
    for second in range(150):
        before = len(receiver.requests)
        if second == 60:
            receiver.on("/", raw(OK))
        for rig in rigs:
            rig.parts.pressure.stale = True
        await _work(rigs)
        if len(receiver.requests) > before:
            calls.append((second, len(receiver.requests) - before))
        await pass_time(rigs, SECOND)
    # All twenty were sent at once and failed; then one call at 10, 30, 70 seconds, and the rest.
    assert calls[:4] == [(0, 20), (10, 1), (30, 1), (70, 1)]
    assert await rigs[0].said() == [("succeeded", None)] * 20
    assert await _state(engine_pool) == "closed"
    for row, told in zip(await rigs[0].runs(), await deferrals(rigs[0]), strict=True):
        assert told is not None
        assert (told["reason"], told["key"]) == ("breaker", "k")
        assert told["count"] >= 1
        assert told["since"] < told["until"]
        assert row["attempt_count"] <= 4
    assert sum(len(rig.told(EventName.BREAKER_OPENED)) for rig in rigs) == 1
    assert sum(len(rig.told(EventName.BREAKER_CLOSED)) for rig in rigs) == 1


async def test_what_comes_due_while_it_is_open_waits_and_is_not_an_attempt(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver)
    job = await rigs[0].job(schedule={"every": "1h"}, target=KEYED)
    await pass_time(rigs, 2 * SECOND)
    run = await waiting_run(engine_pool, job, at_ms=rigs[0].clock.ms)
    await _work(rigs)
    assert len(receiver.requests) == 3
    row = next(row for row in await rigs[0].runs() if row["id"] == run)
    assert (row["status"], row["attempt_count"], row["concurrency_key"]) == ("due", 0, "k")


async def test_exactly_one_replica_probes_and_no_second_probe_goes_while_the_first_is_out(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver, retry={"initial_delay": "5s", "jitter": "none"})
    gate = asyncio.Event()

    async def behave(wire: Any, _: Any) -> None:
        await gate.wait()
        await wire.send(OK)

    receiver.on("/", behave)
    await pass_time(rigs, 10 * SECOND)
    await asyncio.gather(*(rig.tick() for rig in rigs))
    assert held(rigs) == 1
    async with attempts(*[rig.parts for rig in rigs]) as tasks:
        for rig in rigs:
            dispatch.start_due(rig.parts, rig.outbox, tasks)
        await receiver.wait_for(4)
        await pass_time(rigs, 20 * SECOND)
        await asyncio.gather(*(rig.tick() for rig in rigs))
        assert held(rigs) == 1
        gate.set()
    for rig in rigs:
        await rig.settle()
    assert len(receiver.requests) == 4


async def test_the_probe_of_a_replica_that_dies_is_made_again(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver, retry={"initial_delay": "5s", "jitter": "none"})
    await pass_time(rigs, 10 * SECOND)
    await rigs[0].tick()
    assert len(rigs[0].held()) == 1
    receiver.on("/", raw(OK))
    others = rigs[1:]
    rigs[0].clock.move(61 * SECOND)  # its time-out of 30 s and twice its lease
    for rig in others:
        await rig.beat()
    await upkeep.rescue(others[0].parts)
    for rig in others:
        rig.parts.pressure.stale = True
        await rig.tick()  # tells them that runs wait
    await _work(others)
    assert held(others) == 0
    assert await _state(engine_pool) == "closed"


async def test_the_time_between_two_probes_doubles_up_to_its_bound(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver, retry={"initial_delay": "1s", "jitter": "none", "deadline": "1h"})
    seconds = []
    for second in range(1, 130):
        await pass_time(rigs, SECOND)
        before = len(receiver.requests)
        await _work(rigs)
        if len(receiver.requests) > before:
            assert len(receiver.requests) == before + 1
            seconds.append(second)
    assert seconds == [10, 30, 70, 110]


async def test_failures_in_a_row_open_it_and_a_success_between_them_does_not(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    rig = rigs[0]
    job = await rig.job(schedule={"every": "30d"}, target=KEYED, retry=ONCE)
    for status in (503, 503, 200, 503, 503, 404, 503, 429):
        receiver.on("/", answer(status))
        await waiting_run(engine_pool, job, at_ms=rig.clock.ms)
        await rig.work()
        await rig.pass_time(10)
    await rig.tick()
    assert await _state(engine_pool) == "none"
    receiver.on("/", answer(500))
    await waiting_run(engine_pool, job, at_ms=rig.clock.ms)
    await rig.work()
    await rig.tick()
    assert await _state(engine_pool) == "open"


@pytest.mark.parametrize(
    "fault",
    [silence(), reset(), raw(b"nonsense\r\n\r\n", then_close=True)],
    ids=["silence", "reset", "nonsense"],
)
async def test_time_outs_and_broken_connections_count_as_failures(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig], fault: Any
) -> None:
    rig = rigs[0]
    receiver.on("/", fault)
    for _ in range(3):
        await rig.job(schedule={"every": "1h"}, target={**KEYED, "timeout": "100ms"}, retry=ONCE)
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.tick()
    assert await _state(engine_pool) == "open"


async def test_a_probe_that_is_cancelled_says_nothing_and_the_next_goes_at_once(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver, retry={"initial_delay": "5s", "jitter": "none"})
    receiver.on("/", silence())
    await pass_time(rigs, 10 * SECOND)
    await rigs[0].tick()
    (probe,) = rigs[0].held()
    async with rigs[0].sending():
        dispatch.cancel(rigs[0].parts, rigs[0].outbox, probe.claim.id)
    receiver.on("/", raw(OK))
    for rig in rigs:
        rig.parts.pressure.waits = True
    await _work(rigs)
    await _work(rigs)
    assert await _state(rigs[0].parts.pool) == "closed"


async def test_a_status_of_4xx_is_no_failure(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    rig = rigs[0]
    receiver.on("/", answer(404))
    for _ in range(5):
        await rig.job(schedule={"every": "1h"}, target=KEYED, retry=ONCE)
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.tick()
    assert await _state(engine_pool) == "none"


async def test_a_run_whose_next_occurrence_has_come_meanwhile_ends_and_says_why(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver)
    await rigs[0].job(schedule={"every": "4s"}, target=KEYED, retry=ONCE, overlap="skip")
    receiver.on("/", raw(OK))
    await pass_time(rigs, 4 * SECOND)
    await _work(rigs)
    await pass_time(rigs, 7 * SECOND)
    await _work(rigs)
    rows = [row for row in await rigs[0].runs() if row["deferral"] and row["trigger"] == "schedule"]
    (ended,) = [row for row in rows if row["status"] == "failed"]
    assert (ended["reason"], ended["attempt_count"]) == ("next_occurrence", 0)
    assert ended["started_at"] is None
    assert '"breaker"' in ended["deferral"]


async def test_the_delay_of_a_retry_is_not_said_to_be_the_waiting_before_the_first_attempt(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver)
    retry = {"max_attempts": 2, "initial_delay": "40s", "jitter": "none"}
    due = rigs[0].clock.ms + 4 * SECOND
    await rigs[0].job(schedule={"every": "1h"}, target=KEYED, retry=retry, at_ms=due)
    told = []
    for seconds, answered in [(4, 503), (7, 503), (40, 200)]:
        receiver.on("/", answer(answered))
        await pass_time(rigs, seconds * SECOND)
        await _look(rigs)
        await _work(rigs)
        told.append((await deferrals(rigs[0]))[-1])
    assert len(receiver.requests) == 3 + 2
    waiting, let_go, retried = told
    assert waiting is not None
    assert let_go is not None
    assert (waiting["reason"], waiting["count"], waiting["until"]) == ("breaker", 1, None)
    until = datetime.fromisoformat(let_go["until"])
    assert (let_go, epoch_ms(until)) == ({**waiting, "until": let_go["until"]}, due + 7 * SECOND)
    assert retried == let_go


async def test_a_retry_that_comes_when_the_breaker_is_closed_again_was_kept_by_nothing(
    receiver: Receiver, rigs: list[Rig]
) -> None:
    await limit(rigs[0].parts.pool, parallel=10)
    await _opened(
        rigs, receiver, retry={"max_attempts": 2, "initial_delay": "1m", "jitter": "none"}
    )
    began = rigs[0].clock.ms
    probe = await rigs[0].job(schedule={"every": "1h"}, target=KEYED, at_ms=began + 11 * SECOND)
    receiver.on("/", raw(OK))
    for seconds in (11, 49):
        await pass_time(rigs, seconds * SECOND)
        await _look(rigs)
        await _work(rigs)
        assert await _state(rigs[0].parts.pool) == "closed"
    assert len(receiver.requests) == 3 + 1 + 3
    ended = await rigs[0].runs()
    assert {row["status"] for row in ended} == {"succeeded"}
    assert {row["job_id"] for row in ended if row["deferral"]} <= {probe}


async def test_what_is_held_for_later_when_it_opens_is_given_back(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    one, other, _ = rigs
    await other.job(schedule={"every": "30d"}, target=KEYED, at_ms=one.clock.ms + HOUR + 900)
    await pass_time(rigs, HOUR)
    await other.tick()
    assert len(other.held()) == 1
    receiver.on("/", answer(503))
    for _ in range(3):
        await one.job(schedule={"every": "1h"}, target=KEYED, retry=ONCE, at_ms=one.clock.ms)
    await one.work()
    await one.tick()
    other.parts.pressure.stale = True
    await other.tick()
    assert other.held() == []
    await pass_time(rigs, 900)
    await _work(rigs)
    assert len(receiver.requests) == 3


async def test_runs_that_wait_for_something_else_when_it_opens_say_that_they_wait_for_it(
    engine_pool: Pool, receiver: Receiver
) -> None:
    rules = PressureRules(share=0.25, breaker=RULES.breaker)
    async with rigged(engine_pool, receiver, slots=12, pressure=rules) as rig:
        receiver.on("/", answer(503))
        for _ in range(9):
            await rig.job(schedule={"every": "1h"}, target=KEYED, retry=ONCE)
        await rig.pass_time(HOUR + TELLING_MS)
        await rig.tick()
        assert {one["reason"] for one in await deferrals(rig) if one} == {"host_share"}
        await rig.send()
        await rig.tick()
        assert {one["reason"] for one in await deferrals(rig) if one} == {"breaker"}


async def test_a_breaker_of_one_key_is_nothing_to_another(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver)
    receiver.on("/", raw(OK))
    job = await rigs[0].job(schedule={"every": "30d"}, target={"concurrency_key": "other"})
    run = await waiting_run(engine_pool, job, at_ms=rigs[0].clock.ms)
    await rigs[0].work()
    assert [one.headers["webhook-id"] for one in receiver.requests[3:]] == [str(run)]


async def test_a_closed_breaker_is_forgotten_in_time(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    await _opened(rigs, receiver, retry={"initial_delay": "5s", "jitter": "none"})
    receiver.on("/", raw(OK))
    await pass_time(rigs, 10 * SECOND)
    await _work(rigs)
    await _work(rigs)
    async with transaction(engine_pool) as conn:
        await prune_keys(conn, before_ms=rigs[0].clock.ms - MINUTE)
    assert await _state(engine_pool) == "none"


async def test_a_replica_that_leaves_gives_back_what_its_key_had_already_taken_out_of_sending(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    leaving = rigs[0]
    await leaving.job(schedule={"every": "1h"}, target=KEYED)
    await pass_time(rigs, HOUR - 500)
    await leaving.tick()
    (waits,) = leaving.held()
    leaving.parts.hand.withdraw([waits])  # as a breaker does, and the database did not answer
    leaving.parts.pressure.returning.append(waits)
    await engine_run.release_unsent(leaving.parts, leaving.outbox)
    assert leaving.held() == []
    row = await leaving.run()
    assert (row["status"], row["attempt_count"], row["concurrency_key"]) == ("due", 0, "k")


async def test_a_probe_that_was_withheld_is_told_once_and_its_next_attempt_is_no_news_to_it(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told twice, the second word would take the breaker from the probe that another makes."""
    await _opened(rigs, receiver)
    one, other = rigs[:2]
    job = await one.job(schedule={"every": "1h"}, target=KEYED)
    await pass_time(rigs, HOUR)
    await _look(rigs)
    (probe,) = [run for run in one.held() if run.claim.probe]
    await engine_pool.execute("DELETE FROM runs WHERE status = 'due'")
    monkeypatch.setattr(one.parts.lease, "holds", lambda _term: False)
    await one.send()
    assert len(receiver.requests) == 3
    await keys.keep(one.parts)
    await upkeep.give_back_lapsed(one.parts, one.outbox)
    await _look([other])
    await keys.keep(one.parts)
    await _look([other])
    assert [run.claim.id for run in other.held()] == [probe.claim.id]
    await waiting_run(engine_pool, job, at_ms=other.clock.ms)
    await _look(rigs)
    assert held(rigs) == 1, "one probe, and no second beside it"
    assert await _state(engine_pool) == "probing"


async def test_what_failed_while_the_lease_was_over_says_nothing_of_the_target(
    rigs: list[Rig], engine_pool: Pool, receiver: Receiver
) -> None:
    """A replica that was stopped and woken finds all that it had sent out of time at once."""
    rig = rigs[0]
    receiver.on("/", silence())
    for _ in range(4):
        await rig.job(
            schedule={"every": "1h"}, overlap="allow", target={**KEYED, "timeout": "1s"}, retry=ONCE
        )
    await pass_time(rigs, HOUR)
    await rig.tick()
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
        await receiver.wait_for(4)
        rig.clock.move(MINUTE)
    assert [ended.record.outcome for ended in rig.outbox.ended if ended.record] == ["timeout"] * 4
    assert rig.parts.pressure.news == {}
    await rig.beat()
    await rig.tick()
    assert await _state(engine_pool) != "open"


async def test_a_time_out_that_is_noticed_late_says_nothing_of_the_target_with_the_lease_held(
    rigs: list[Rig],
) -> None:
    """A standstill shorter than the lease; a time-out that is noticed in time counts as ever."""
    rig = rigs[0]
    await rig.job(schedule={"every": "1h"}, target={"timeout": "2s"})
    await pass_time(rigs, HOUR)
    await rig.tick()
    (one,) = rig.held()
    one.term = rig.parts.lease.term
    for seconds, told in ((3.5, False), (2.5, True)):
        late = Exchange("timeout", error="no answer", duration_ms=seconds * 1000)
        for _ in range(RULES.breaker.failures):
            judged.note(rig.parts, one, late, started_ms=rig.clock.ms)
        assert (one.job.key in rig.parts.pressure.news) is told
