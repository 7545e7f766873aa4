"""An idle replica asks little, and still finds whatever there is to do."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from clock import HandClock
from counting import Statements
from factories import MORNING_MS, waiting_run
from receiver import Receiver
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.runs import BACKGROUND_BELOW
from scheduler_svc.engine import glance
from scheduler_svc.engine.glance import FRESH_SECONDS, bell_for, is_there, looks, next_look
from scheduler_svc.engine.pace import FULL_SCAN_SECONDS
from scheduler_svc.store.glance import ALL, Duty
from scheduler_svc.store.pool import BY_KEY, Pool, open_pool, transaction

EVERY = {"every": "1h"}
TO_DO: dict[Duty, str] = {
    "rescue": """
        WITH dead AS (
            INSERT INTO replicas (id, host, pid, version, tzdata, role, started_at, heartbeat_at,
                lease_until, slots)
            VALUES ($1, 'there', 1, '0', '0', 'all', $2, $2, $2, 1)
        )
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, attempt_count,
            replica, claimed_at, next_attempt_at)
        VALUES ($1, $2, $1, 'default', 'schedule', 'running', 1, $1, $2, $2)
    """,
    "spent": """
        UPDATE jobs SET state = 'completed', updated_at = $2,
            definition = '{"delete_after_completion":true}'
        WHERE id = $1
    """,
    "overdue": """
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, attempt_count,
            claimed_at, next_attempt_at, completion_until)
        VALUES ($1, $2, $1, 'default', 'schedule', 'running', 1, $2, $2, $2)
    """,
    "watched": "INSERT INTO job_incidents (job_id, watch_at) VALUES ($1, $2)",
    "backfills": """
        INSERT INTO backfills (id, job_id, namespace, range_from, range_to, schedule, anchored_at,
            overlap, max_per_minute, total, status, next_from, paced_at, created_at)
        VALUES ($1, $1, 'default', $2, $2::timestamptz + interval '1 day', '{}', $2, 'skip', 60, 1,
            'running', $2, $2, $2)
    """,
    "replays": """
        INSERT INTO replays (id, namespace, filter, max_per_minute, total, status, after_at,
            after_id, paced_at, created_at)
        VALUES ($1, 'default', '{}', 60, 1, 'running', $2, $1, $2, $2)
    """,
    "unsealed": """
        INSERT INTO audit_pending (id, at, namespace, actor_kind, actor_id, action, resource_kind)
        VALUES ($1, $2, 'default', 'engine', 'engine', 'job.deleted', 'job')
    """,
}


class PassingClock(HandClock):
    """Moves on by a millisecond whenever somebody looks at it, as clocks do."""

    def now_ms(self) -> int:
        self.ms += 1
        return self.ms


@pytest.fixture
async def statements() -> Statements:
    return Statements()


@pytest.fixture
async def idle(dsn: str, receiver: Receiver, statements: Statements) -> AsyncIterator[Rig]:
    """A replica that has looked and found nothing; its one connection tells each statement."""
    opened: Pool = await open_pool(
        dsn, application_name="idle", size_max=1, planner=BY_KEY, on_statement=statements
    )
    async with rigged(opened, receiver) as rig:
        await rig.tick()
        await rig.pass_time(SECOND)
        statements.names.clear()
        yield rig
    opened.terminate()


async def test_an_idle_pass_is_one_statement(idle: Rig, statements: Statements) -> None:
    await idle.job(schedule=EVERY)
    statements.names.clear()
    await idle.tick()
    assert statements.names == {"next_instants": 1}


async def test_an_idle_pass_finds_a_timer_that_is_due(idle: Rig) -> None:
    job = await idle.job(schedule=EVERY)
    await idle.pass_time(HOUR)
    await idle.tick()
    assert len(await idle.runs(job)) == 1


async def test_an_idle_pass_looks_behind_the_mark_as_rarely_as_a_scan_and_has_it_claimed(
    idle: Rig,
) -> None:
    """An old transaction keeps all entries there, and each look walks over them."""
    await idle.tick()
    job = await idle.job(schedule=EVERY, at_ms=idle.pace.low.fire_ms - 1)
    await idle.tick()
    assert idle.held() == []
    await idle.pass_time(int(FULL_SCAN_SECONDS * 1000))
    await idle.tick()
    assert [held.claim.job_id for held in idle.held()] == [job]


async def test_an_idle_pass_finds_a_run_that_waits(idle: Rig) -> None:
    job = await idle.job(schedule=EVERY)
    await waiting_run(idle.parts.pool, job, at_ms=MORNING_MS)
    await idle.tick()
    assert len(idle.held()) == 1


async def test_passes_that_take_their_time_and_find_nothing_come_back_after_the_poll(
    engine_pool: Pool, receiver: Receiver
) -> None:
    async with rigged(engine_pool, receiver, clock=PassingClock(MORNING_MS)) as rig:
        seconds = [await rig.tick() for _ in range(2)]
    assert seconds[0] < 1
    assert seconds[1] > rig.parts.limits.poll_ms / 1000 - 1


async def test_a_timer_that_somebody_held_during_the_look_is_claimed_a_moment_later(
    rig: Rig,
) -> None:
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - SECOND // 2)
    async with transaction(rig.parts.pool) as conn:
        await conn.execute("SELECT FROM job_timers WHERE job_id = $1 FOR UPDATE", job)
        for _ in range(3):
            seconds = await rig.tick()
            assert rig.held() == []
            assert 0 < seconds < 0.5
    await rig.tick()
    assert [held.claim.job_id for held in rig.held()] == [job]


@pytest.mark.parametrize("duty", sorted(ALL))
async def test_what_a_loop_looks_for_is_seen_by_the_glance(rig: Rig, duty: Duty) -> None:
    assert not await is_there(rig.parts, duty)
    before = instant_at(rig.clock.ms) - timedelta(seconds=1)
    await rig.parts.pool.execute(TO_DO[duty], await rig.job(schedule=EVERY), before)
    await rig.pass_time(int(FRESH_SECONDS * 1000) + 1)
    assert [one for one in sorted(ALL) if await is_there(rig.parts, one)] == [duty]


async def test_one_answer_serves_all_who_ask_within_a_moment(
    idle: Rig, statements: Statements
) -> None:
    for duty in ALL:
        await is_there(idle.parts, duty)
    assert statements.names == {"glance": 1}
    await idle.pass_time(int(FRESH_SECONDS * 1000) + 1)
    await is_there(idle.parts, "rescue")
    assert statements.names == {"glance": 2}


@pytest.mark.parametrize("duty", sorted(ALL))
async def test_a_look_wakes_those_whose_duty_it_finds_and_nobody_else(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, duty: Duty
) -> None:
    monkeypatch.setattr(glance, "LOOK_SECONDS", 0.01)
    before = instant_at(rig.clock.ms) - timedelta(seconds=1)
    await rig.parts.pool.execute(TO_DO[duty], await rig.job(schedule=EVERY), before)
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(10):
        waiting = {
            one: tasks.create_task(bell_for(rig.parts, one).wait(None)) for one in sorted(ALL)
        }
        looking = tasks.create_task(looks(rig.parts))
        await waiting[duty]
        assert [one for one, task in waiting.items() if task.done()] == [duty]
        for task in (looking, *waiting.values()):
            task.cancel()


def test_a_look_that_takes_its_time_has_a_hundredth_of_it() -> None:
    assert next_look(100.0, 100.01, 15.0) == 115.0
    assert next_look(100.0, 100.5, 15.0) == 150.0


def test_a_look_that_was_slow_once_is_repeated_within_a_minute() -> None:
    """A database that is slow for a moment loses the answers of claims: these are found then."""
    assert next_look(100.0, 109.0, 10.0) == 160.0


async def test_runs_of_the_past_without_a_slot_wait_for_one_and_not_for_a_look_after_the_other(
    engine_pool: Pool, receiver: Receiver
) -> None:
    """Half of the slots are theirs; the end of one of them wakes the loop."""
    async with rigged(engine_pool, receiver, slots=4) as rig:
        job = await rig.job(schedule=EVERY, overlap="allow")
        for number in range(4):
            at_ms = MORNING_MS - MINUTE + number
            await waiting_run(
                engine_pool, job, at_ms=at_ms, trigger="backfill", priority=BACKGROUND_BELOW - 1
            )
        await rig.tick()
        assert len(rig.held()) == 2
        await rig.pass_time(SECOND)
        seconds = [await rig.tick() for _ in range(3)]
        assert len(rig.held()) == 2
    assert min(seconds) > 4.0
