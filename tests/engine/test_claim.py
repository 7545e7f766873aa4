"""What a pass takes, and what it leaves: ahead of the instant, within the slots, in fair shares."""

import msgspec
import pytest

from clock import PassingClock
from factories import MORNING_MS, waiting_run
from receiver import Receiver, answer
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at, run_id
from scheduler_svc.engine import pace
from scheduler_svc.store.pool import Pool

EVERY = {"every": "1h"}


async def test_an_occurrence_is_claimed_ahead_and_held_until_its_instant(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 900)
    await rig.tick()
    (held,) = rig.held()
    assert (await rig.run())["status"] == "running"
    assert held.claim.id == run_id(job, MORNING_MS + HOUR)
    await rig.send()
    assert rig.receiver.requests == []
    await rig.pass_time(899)
    await rig.send()
    assert rig.receiver.requests == []
    await rig.pass_time(1)
    await rig.send()
    assert len(rig.receiver.requests) == 1
    assert await rig.said() == [("succeeded", None)]
    assert (await rig.run())["lateness_ms"] == 0


async def test_nothing_beyond_the_lookahead_is_claimed(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 1001)
    await rig.tick()
    assert rig.held() == []
    assert await rig.runs() == []


async def test_the_timer_moves_to_the_next_occurrence_by_the_schedule_alone(rig: Rig) -> None:
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR + 7 * SECOND)
    await rig.tick()
    assert (await rig.timer(job))["scheduled_for"] == instant_at(MORNING_MS + 2 * HOUR)


async def test_a_pass_sleeps_until_the_next_instant_less_the_lookahead(rig: Rig) -> None:
    await rig.job(schedule={"every": "4s"})
    rig.chance.value = 0.5
    assert await rig.tick() == pytest.approx(0.2)  # and looks once more
    assert await rig.tick() == pytest.approx(3.0 + 0.2)


async def test_a_pass_sleeps_no_longer_than_the_poll(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    await rig.tick()
    assert await rig.tick() == 5.0


async def test_a_pass_that_found_nothing_sleeps_as_long_though_it_took_time_itself(
    engine_pool: Pool, receiver: Receiver
) -> None:
    clock = PassingClock(MORNING_MS)
    async with rigged(engine_pool, receiver, clock=clock) as rig:
        await rig.job(schedule=EVERY)
        await rig.tick()
        assert await rig.tick() > 4.0


async def test_two_replicas_share_the_work_and_never_an_occurrence(rig: Rig, other: Rig) -> None:
    for _ in range(20):
        await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await other.pass_time(0)
    await rig.tick()
    await other.tick()
    assert len(rig.held()) == 20
    assert other.held() == []
    await rig.send()
    assert len(rig.receiver.requests) == 20


async def test_a_pass_takes_no_more_than_the_free_slots(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=5) as rig:
        for _ in range(8):
            await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR)
        await rig.tick()
        assert len(rig.held()) == 5
        await rig.send()
        await rig.work()
        assert len(receiver.requests) == 8


async def test_a_pass_takes_all_there_is_room_for_whatever_the_batch(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=100, batch=7) as rig:
        job = await rig.job(schedule={"every": "30d"})
        for _ in range(20):
            await rig.job(schedule=EVERY)
        for n in range(20):
            await waiting_run(engine_pool, job, at_ms=MORNING_MS + n)
        await rig.pass_time(HOUR)
        await rig.tick()
        assert len(rig.held()) == 40


async def test_a_full_hand_is_looked_at_again_after_a_poll_so_that_it_counts_as_alive(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=1) as rig:
        await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR)
        assert await rig.tick() == 5.0


async def test_a_flood_of_timers_leaves_a_share_of_the_slots_to_runs_that_wait(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=20) as rig:
        job = await rig.job(schedule={"every": "30d"})
        for _ in range(60):
            await rig.job(schedule=EVERY)
        for n in range(60):
            await waiting_run(engine_pool, job, at_ms=MORNING_MS + n)
        await rig.pass_time(HOUR)
        await rig.tick()
        assert sorted(held.claim.trigger for held in rig.held()).count("manual") == 2
        assert len(rig.held()) == 20


async def test_the_share_of_waiting_runs_holds_where_slots_come_free_one_at_a_time(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=1) as rig:
        job = await rig.job(schedule={"every": "30d"})
        await rig.job(schedule=EVERY)
        await waiting_run(engine_pool, job, at_ms=MORNING_MS)
        await rig.pass_time(HOUR)
        rig.chance.value = 0.95
        await rig.tick()
        assert [held.claim.trigger for held in rig.held()] == ["manual"]


async def test_slots_kept_for_waiting_runs_go_to_timers_where_none_waits(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=20) as rig:
        for _ in range(60):
            await rig.job(schedule=EVERY)
        await rig.pass_time(HOUR)
        await rig.tick()
        assert len(rig.held()) == 20


async def test_more_runs_of_one_timer_than_slots_overflow_to_due(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, slots=3) as rig:
        await rig.job(
            schedule={"every": "10s"}, overlap="allow", misfire={"policy": "all", "grace": "1m"}
        )
        await rig.pass_time(50 * SECOND)
        await rig.tick()
        assert sorted(status for status, _ in await rig.said()) == ["due"] * 2 + ["running"] * 3
        await rig.send()
        await rig.work()
        assert await rig.said() == [("succeeded", None)] * 5
        assert len(receiver.requests) == 5


async def test_of_one_instant_the_higher_priority_is_sent_first(rig: Rig) -> None:
    for priority in (0, 50, -50):
        await rig.job(schedule=EVERY, priority=priority)
    await rig.pass_time(HOUR)
    await rig.tick()
    due = rig.parts.hand.pop_due(rig.clock.ms)
    assert [held.job.plan.definition.priority for held in due] == [50, 0, -50]


async def test_what_lies_behind_the_low_water_mark_is_picked_up_by_the_full_scan(
    rig: Rig,
) -> None:
    await rig.pass_time(HOUR)
    await rig.tick()
    await rig.pass_time(SECOND)
    await rig.tick()
    assert rig.pace.low.fire_ms == MORNING_MS + HOUR + SECOND - 10_000
    behind = rig.pace.low.fire_ms - 5000
    job = await rig.job(schedule=EVERY, created_ms=behind - HOUR)
    await rig.tick()
    assert await rig.runs(job) == []
    await rig.pass_time(15 * SECOND)
    await rig.tick()
    assert len(await rig.runs(job)) == 1


async def test_a_notice_moves_the_mark_back_so_that_the_next_pass_looks_there(rig: Rig) -> None:
    await rig.pass_time(HOUR)
    await rig.tick()
    await rig.pass_time(SECOND)
    await rig.tick()
    behind = rig.pace.low.fire_ms - 5000
    job = await rig.job(schedule=EVERY, created_ms=behind - HOUR)
    assert rig.pace.notice(behind, lookahead_ms=1000)
    await rig.tick()
    assert len(await rig.runs(job)) == 1


async def test_a_notice_that_comes_while_a_pass_is_past_its_place_is_not_forgotten(
    rig: Rig,
) -> None:
    """The pass is over with the timers when it is told, and would raise its mark at its end."""
    await rig.pass_time(HOUR)
    await rig.tick()
    await rig.job(schedule={"every": "2s"}, misfire={"policy": "skip", "grace": "0s"})
    await rig.pass_time(3 * SECOND)
    behind = rig.pace.low.fire_ms - 5000

    def on_event(name: EventName, /, **fields: object) -> None:
        if name == EventName.RUN_SKIPPED:
            assert rig.pace.notice(behind, lookahead_ms=1000)
        rig.parts.on_event(name, **fields)

    await pace.one_pass(msgspec.structs.replace(rig.parts, on_event=on_event), rig.pace)
    assert len(rig.told(EventName.RUN_SKIPPED)) == 1
    job = await rig.job(schedule=EVERY, created_ms=behind - HOUR)
    await rig.tick()
    assert len(await rig.runs(job)) == 1


async def test_a_notice_of_what_lies_beyond_the_next_look_wakes_nobody(rig: Rig) -> None:
    rig.pace.wake_ms = MORNING_MS + 5 * SECOND
    assert not rig.pace.notice(MORNING_MS + MINUTE, lookahead_ms=1000)
    assert not rig.pace.notice(MORNING_MS + 6 * SECOND, lookahead_ms=1000)
    assert rig.pace.notice(MORNING_MS + 6 * SECOND - 1, lookahead_ms=1000)


async def test_without_the_lease_nothing_is_claimed(rig: Rig) -> None:
    await rig.job(schedule=EVERY)
    rig.clock.move(HOUR)
    await rig.tick()
    assert rig.held() == []
    assert await rig.runs() == []


async def test_a_job_that_can_not_be_decided_is_parked_and_the_pass_goes_on(
    rig: Rig, engine_pool: Pool
) -> None:
    poison = await rig.job(schedule=EVERY)
    await engine_pool.execute(
        "UPDATE jobs SET definition = $2 WHERE id = $1",
        poison,
        '{"schedule": {"cron": "99 99 * * *"}, "target": {"url": "http://127.0.0.1/"}}',
    )
    unreadable = await rig.job(schedule=EVERY)
    await engine_pool.execute(
        "UPDATE jobs SET definition = $2 WHERE id = $1", unreadable, '{"schedule": 7}'
    )
    good = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    assert await rig.said(good) == [("succeeded", None)]
    for job in (poison, unreadable):
        assert await rig.state(job) == "paused"
        assert (await rig.timer(job))["fire_at"] is None
        assert await rig.runs(job) == []
    assert {told["job_id"] for told in rig.told(EventName.JOB_PARKED)} == {poison, unreadable}
    reason = await engine_pool.fetchval("SELECT pause ->> 'reason' FROM jobs WHERE id = $1", poison)
    assert "could not decide" in reason


async def test_an_occurrence_that_is_in_the_ledger_already_is_not_sent_again(
    rig: Rig, engine_pool: Pool
) -> None:
    """Nor does it hold back whoever is claimed beside it."""
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR)
    await rig.work()
    beside = await rig.job(schedule=EVERY)
    await engine_pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    await rig.work()
    assert len(rig.receiver.requests) == 2
    assert await rig.said(job) == await rig.said(beside) == [("succeeded", None)]
    assert (await rig.timer(job))["fire_at"] == instant_at(MORNING_MS + 2 * HOUR)


async def test_a_job_of_one_instant_is_remembered_until_its_run_has_ended(rig: Rig) -> None:
    """Thousands a minute of them would fill the memory for nothing; the others are asked again."""
    at = instant_at(rig.clock.ms + SECOND).isoformat()
    retry = {"max_attempts": 2, "delays": ["1s"], "jitter": "none"}
    once = await rig.job(schedule={"at": at}, retry=retry)
    twice = await rig.job(schedule={"at": [at, instant_at(rig.clock.ms + HOUR).isoformat()]})
    rig.receiver.on("/", answer(503))
    await rig.pass_time(SECOND)
    await rig.work()
    assert rig.parts.jobs.get(once, 1) is not None  # it is tried again
    rig.receiver.on("/", answer(200))
    await rig.pass_time(10 * SECOND)
    await rig.work()
    assert [row["status"] for row in await rig.runs(once)] == ["succeeded"]
    assert rig.parts.jobs.get(once, 1) is None
    assert rig.parts.jobs.get(twice, 1) is not None
