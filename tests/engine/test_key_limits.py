"""Limits by key: exact over replicas, whatever dies; and nobody is stranded when they change."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from factories import MORNING_MS, waiting_run
from pressing import KEY, Door, deferrals, held, limit, pass_time, replicas, send_all, unlimit
from receiver import OK, Receiver, answer, in_turn, raw
from rig import HOUR, SECOND, Rig, attempts, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import Ceiling, Key
from scheduler_svc.engine import dispatch, upkeep
from scheduler_svc.engine.pressure import PressureRules
from scheduler_svc.store import pressure
from scheduler_svc.store.pool import Pool, transaction

EVERY = {"every": "1h"}
KEYED = {"concurrency_key": "k"}


@pytest.fixture
async def rigs(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[list[Rig]]:
    async with replicas(engine_pool, receiver) as built:
        yield built


@pytest.fixture
def door(receiver: Receiver) -> Door:
    made = Door()
    receiver.on("/", made.behave)
    return made


async def _due(rigs: list[Rig], count: int, **changes: Any) -> None:
    for _ in range(count):
        await rigs[0].job(schedule=EVERY, target=KEYED, **changes)
    await pass_time(rigs, HOUR)


async def _tick(rigs: list[Rig]) -> None:
    for rig in rigs:
        await rig.tick()


async def test_calls_at_once_never_exceed_the_limit_over_three_replicas(
    engine_pool: Pool, rigs: list[Rig], door: Door
) -> None:
    await limit(engine_pool, parallel=3)
    await _due(rigs, 10)
    for expected in (3, 3, 3, 1):
        for _ in range(2):
            await asyncio.gather(*(rig.tick() for rig in rigs))
        assert held(rigs) == expected
        await send_all(rigs, door, expected)
    assert door.most == 3
    assert await rigs[0].said() == [("succeeded", None)] * 10


async def test_the_limit_holds_while_a_replica_is_dead_and_when_its_runs_are_rescued(
    engine_pool: Pool, rigs: list[Rig], door: Door
) -> None:
    await limit(engine_pool, parallel=3)
    await _due(rigs, 6)
    victim, *others = rigs
    await victim.tick()
    assert len(victim.held()) == 3
    await _tick(others)
    assert held(others) == 0
    rigs[0].clock.move(16 * SECOND)
    for rig in others:
        await rig.beat()
    await _tick(others)
    assert held(others) == 0  # nobody knows yet that the calls of the dead have ended
    assert await upkeep.rescue(others[0].parts) == 3
    await asyncio.gather(*(rig.tick() for rig in others))
    await _tick(others)
    assert held(others) == 3
    await send_all(others, door, 3)
    await _tick(others)
    await send_all(others, door, 3)
    assert door.most == 3
    assert len(door_runs := await rigs[0].runs()) == 6
    assert {row["status"] for row in door_runs} == {"succeeded"}


async def test_a_replica_that_holds_a_keys_row_delays_nobody(
    engine_pool: Pool, rigs: list[Rig]
) -> None:
    await limit(engine_pool, parallel=1)
    await _due(rigs, 1)
    await rigs[0].job(schedule=EVERY, at_ms=rigs[0].clock.ms)
    async with transaction(engine_pool) as frozen:
        await pressure.lock_keys(frozen, [KEY])
        assert await rigs[0].tick() <= 0.05
        assert len(rigs[0].held()) == 1
    await rigs[0].tick()
    assert len(rigs[0].held()) == 2


async def test_no_window_of_one_second_has_more_calls_than_allowed_over_three_replicas(
    engine_pool: Pool, receiver: Receiver, rigs: list[Rig]
) -> None:
    await limit(engine_pool, per_second=5)
    await _due(rigs, 40)
    sent: list[int] = []
    while len(sent) < 40:
        await asyncio.gather(*(rig.tick() for rig in rigs))
        for rig in rigs:
            before = len(receiver.requests)
            await rig.send()
            sent += [rig.clock.ms] * (len(receiver.requests) - before)
        await pass_time(rigs, 5)
    for first, sixth in zip(sent, sent[5:], strict=False):
        assert sixth - first >= 1000
    assert sent[-1] - sent[0] < 39 * 205 + 50  # and it is no slower than it says


async def test_a_rate_below_one_a_second_is_kept_too(
    engine_pool: Pool, receiver: Receiver, rig: Rig
) -> None:
    await limit(engine_pool, per_second=0.1)
    for _ in range(2):
        await rig.job(schedule=EVERY, target=KEYED)
    await rig.pass_time(HOUR)
    await rig.work()
    assert len(receiver.requests) == 1
    assert await rig.tick() <= 1.0
    await rig.pass_time(10_000)
    await rig.work()
    assert len(receiver.requests) == 1
    await rig.pass_time(250)
    await rig.work()
    assert len(receiver.requests) == 2


async def test_a_run_of_a_limited_key_that_has_room_is_on_time_and_says_nothing(
    engine_pool: Pool, rig: Rig
) -> None:
    await limit(engine_pool, parallel=2, per_second=10)
    await rig.job(schedule=EVERY, target=KEYED)
    await rig.pass_time(HOUR - 300)
    await rig.tick()
    assert rig.held() == []
    await rig.pass_time(200)
    await rig.tick()
    await rig.pass_time(100)
    await rig.send()
    run = await rig.run()
    assert (run["status"], run["lateness_ms"], run["deferral"]) == ("succeeded", 0, None)


async def test_a_pass_wakes_for_a_run_that_stands_in_line(engine_pool: Pool, rig: Rig) -> None:
    await limit(engine_pool, parallel=1)
    await rig.job(schedule=EVERY, target=KEYED)
    await rig.pass_time(HOUR - 600)
    assert await rig.tick() == pytest.approx(0.5)


async def test_the_ledger_says_what_a_run_waited_for(
    engine_pool: Pool, rigs: list[Rig], door: Door
) -> None:
    await limit(engine_pool, parallel=1)
    await _due(rigs, 2)
    due = instant_at(rigs[0].clock.ms)
    await _tick(rigs)
    waiting = next(one for one in await deferrals(rigs[0]) if one)
    assert (waiting["reason"], waiting["key"], waiting["until"]) == ("concurrency", "k", None)
    await send_all(rigs, door, 1)
    await pass_time(rigs, 700)
    await _tick(rigs)
    await send_all(rigs, door, 1)
    (told,) = [one for one in await deferrals(rigs[0]) if one]
    assert told["count"] == 1
    assert told["since"] == due.isoformat(timespec="seconds").replace("+00:00", "Z")
    assert told["until"] == instant_at(rigs[0].clock.ms).isoformat(timespec="milliseconds").replace(
        "+00:00", "Z"
    )


async def test_a_run_that_its_keys_rate_holds_back_says_until_when(
    engine_pool: Pool, rig: Rig
) -> None:
    await limit(engine_pool, per_second=2)
    for _ in range(3):
        await rig.job(schedule=EVERY, target=KEYED)
    await rig.pass_time(HOUR - 900)
    await rig.tick()
    await rig.pass_time(925)
    await rig.tick()
    told = sorted(one["until"] for one in await deferrals(rig) if one)
    assert told == ["2026-01-05T09:00:00.513Z", "2026-01-05T09:00:01.025Z"]
    assert {one["reason"] for one in await deferrals(rig) if one} == {"rate"}


async def test_a_retry_obeys_the_limit_and_keeps_its_count_of_attempts(
    engine_pool: Pool, receiver: Receiver, rig: Rig
) -> None:
    await limit(engine_pool, per_second=1)
    receiver.on("/", in_turn(answer(503), raw(OK)))
    retry = {"initial_delay": "1s", "jitter": "none", "max_attempts": 2}
    await rig.job(schedule=EVERY, target=KEYED, retry=retry)
    await rig.pass_time(HOUR)
    await rig.work()
    await rig.pass_time(1000)
    await rig.work()
    assert len(receiver.requests) == 1
    await rig.pass_time(25)
    await rig.send()
    run = await rig.run()
    assert (run["status"], run["attempt_count"]) == ("succeeded", 2)


async def test_higher_priority_goes_first_and_the_past_last(
    engine_pool: Pool, receiver: Receiver, rig: Rig
) -> None:
    await limit(engine_pool, parallel=1)
    job = await rig.job(schedule={"every": "30d"}, target=KEYED)
    at = rig.clock.ms
    past = await waiting_run(engine_pool, job, at_ms=at, trigger="backfill", priority=-1000)
    low = await waiting_run(engine_pool, job, at_ms=at, priority=0)
    high = await waiting_run(engine_pool, job, at_ms=at + 5, priority=7)
    await rig.pass_time(10)
    await rig.work()
    for _ in range(3):
        await rig.work()
    assert [one.headers["webhook-id"] for one in receiver.requests] == [
        str(high),
        str(low),
        str(past),
    ]


async def test_what_waits_because_of_its_key_is_claimed_once_by_the_ordinary_source(
    engine_pool: Pool, rig: Rig
) -> None:
    await limit(engine_pool, parallel=1)
    job = await rig.job(schedule={"every": "30d"}, target=KEYED)
    for n in range(5):
        await waiting_run(engine_pool, job, at_ms=rig.clock.ms + n)
    await rig.pass_time(10)
    await rig.tick()
    rows = await rig.runs()
    assert {row["concurrency_key"] for row in rows} == {"k"}
    versions = await engine_pool.fetch("SELECT id, xmin FROM runs WHERE status = 'due' ORDER BY id")
    assert len(versions) == 4
    await rig.tick()
    assert versions == await engine_pool.fetch(
        "SELECT id, xmin FROM runs WHERE status = 'due' ORDER BY id"
    )


async def test_a_limit_that_is_taken_away_frees_what_waits(
    engine_pool: Pool, rigs: list[Rig], door: Door
) -> None:
    await limit(engine_pool, parallel=1)
    await _due(rigs, 4)
    await _tick(rigs)
    await unlimit(engine_pool)
    for rig in rigs:
        rig.parts.pressure.stale = True
    await _tick(rigs)
    assert held(rigs) == 4
    await send_all(rigs, door, 4)


async def test_a_limit_is_heard_of_without_notices_within_seconds(
    engine_pool: Pool, rig: Rig
) -> None:
    await rig.tick()
    await limit(engine_pool, parallel=1)
    await rig.tick()
    assert KEY not in rig.parts.pressure.known
    await rig.pass_time(3001)
    await rig.tick()
    assert rig.parts.pressure.known[KEY].ceiling == Ceiling(1)


async def test_a_new_limit_counts_the_calls_under_way_and_takes_back_what_is_held(
    engine_pool: Pool, rigs: list[Rig], door: Door
) -> None:
    one, *_ = rigs
    for _ in range(3):
        await one.job(schedule=EVERY, target=KEYED)
    await one.job(schedule=EVERY, target=KEYED, at_ms=MORNING_MS + HOUR + 400)
    await pass_time(rigs, HOUR)
    await one.tick()
    assert len(one.held()) == 4
    async with attempts(one.parts) as tasks:
        dispatch.start_due(one.parts, one.outbox, tasks)
        await door.has(3)
        await limit(engine_pool, parallel=3)
        one.parts.pressure.stale = True
        await one.tick()
        assert len(one.held()) == 3
        await pass_time(rigs, 400)
        await _tick(rigs)
        await _tick(rigs)
        assert held(rigs) == 3
        door.let_go(3)
    await one.settle()
    await _tick(rigs)
    await send_all(rigs, door, 1)
    assert door.most == 3


async def test_limits_by_default_hold_for_keys_without_a_row(
    engine_pool: Pool, receiver: Receiver, door: Door
) -> None:
    rules = PressureRules(default=Ceiling(max_parallel=2), share=1.0)
    async with replicas(engine_pool, receiver, pressure=rules) as rigs:
        for _ in range(5):
            await rigs[0].job(schedule=EVERY)
        await pass_time(rigs, HOUR)
        for expected in (2, 2, 1):
            await asyncio.gather(*(rig.tick() for rig in rigs))
            await _tick(rigs)
            assert held(rigs) == expected
            await send_all(rigs, door, expected)
        assert door.most == 2


async def test_a_run_whose_job_was_given_another_key_is_judged_by_that_one(
    engine_pool: Pool, rig: Rig
) -> None:
    await limit(engine_pool, parallel=1)
    await limit(engine_pool, parallel=1, key=Key("default", "new"))
    for _ in range(2):
        await rig.job(schedule=EVERY, target=KEYED)
    await rig.pass_time(HOUR)
    await rig.tick()
    waiting = next(row for row in await rig.runs() if row["status"] == "due")
    await engine_pool.execute(
        """
        UPDATE jobs SET revision = 2, definition = jsonb_set(definition::jsonb,
            '{target,concurrency_key}', '"new"')::json WHERE id = $1
        """,
        waiting["job_id"],
    )
    await rig.send()  # room under the old key: it is found to belong elsewhere
    await rig.tick()
    row = next(row for row in await rig.runs() if row["id"] == waiting["id"])
    assert (row["status"], row["concurrency_key"]) == ("running", "new")


async def test_a_run_given_back_or_cancelled_leaves_its_place(
    engine_pool: Pool, rigs: list[Rig]
) -> None:
    await limit(engine_pool, parallel=1)
    await _due(rigs, 2)
    one, other, _ = rigs
    await one.tick()
    await upkeep.give_up(one.parts, one.held(), forget=False)
    assert await other.tick() <= 0.05  # it has just learned that runs wait
    await other.tick()
    (run,) = other.held()
    dispatch.cancel(other.parts, other.outbox, run.claim.id)
    await other.settle()
    await one.tick()
    assert held([one]) == 1


async def test_more_keys_than_one_look_takes_are_all_served(
    engine_pool: Pool, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler_svc.engine.pressed.KEYS_MAX", 2)
    async with rigged(engine_pool, receiver) as rig:
        for n in range(9):
            await limit(engine_pool, parallel=1, key=Key("default", f"k{n}"))
            await rig.job(schedule=EVERY, target={"concurrency_key": f"k{n}"})
        await rig.pass_time(HOUR)
        for _ in range(3):
            await rig.tick()
        assert len(rig.held()) == 9
