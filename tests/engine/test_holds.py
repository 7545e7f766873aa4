"""After a restore nothing fires until somebody said so; then what was said, in exact numbers.

A restored database is one whose instants lie back: every row is moved by two days.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from receiver import Receiver
from rig import HOUR, MINUTE, SECOND, Rig, rigged
from scheduler_svc.api.holds import release
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.holds import Missed
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.engine import backfill, upkeep, watch
from scheduler_svc.engine.release import let_go
from scheduler_svc.store import holds, jobs, replicas
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import (
    BY_KEY,
    Pool,
    close_pool,
    connection,
    open_pool,
    transaction,
)

DAY = 24 * HOUR
LIMIT = 12 * HOUR
HOURLY = {"every": "1h"}
PLAIN = {"max_attempts": 3, "initial_delay": "5s", "jitter": "none"}


@pytest.fixture
async def old(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A replica that lived when the backup was made; its clock is stopped for good."""
    async with rigged(engine_pool, receiver, hold_after_ms=LIMIT) as built:
        yield built


async def later(old: Rig, pool: Pool, receiver: Receiver, ms: int, **limits: Any) -> Any:
    """Start a replica so much later on what the old one left behind."""
    old.clock.move(ms)
    return rigged(pool, receiver, clock=old.clock, hold_after_ms=LIMIT, **limits)


async def decide(rig: Rig, missed: Missed, *, per_minute: int = 600) -> None:
    """Say what becomes of what was missed, and let it go; a beat tells it to the replica."""
    async with transaction(rig.parts.pool) as conn:
        assert await release(conn, "default", missed, per_minute=per_minute, now_ms=rig.clock.ms)
    await rig.beat()
    await let_go(rig.parts, rig.pace)


async def work_off(rig: Rig, minutes: int = 3) -> None:
    """Work on for a while, second by second, and let go what is left."""
    for _ in range(minutes * 60):
        await rig.work()
        await rig.pass_time(SECOND)
    await upkeep.rescue(rig.parts)
    await let_go(rig.parts, rig.pace)
    await rig.work()


async def is_held(rig: Rig) -> bool:
    async with connection(rig.parts.pool) as conn:
        return await holds.get_hold(conn, "default") is not None


async def became(rig: Rig, job: UUID | None = None) -> Counter[tuple[str, str, int]]:
    return Counter(
        (row["status"], row["reason"] or row["trigger"], row["occurrences"])
        for row in await rig.runs(job)
    )


async def test_after_a_long_outage_nothing_is_sent_until_told(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    jobs = [await old.job(schedule=HOURLY) for _ in range(20)]
    async with await later(old, engine_pool, receiver, 2 * DAY + 30 * MINUTE) as rig:
        for _ in range(5):
            await rig.work()
            await rig.pass_time(MINUTE)
            await rig.beat()
        assert receiver.requests == []
        assert await rig.runs() == []
        assert (
            await engine_pool.fetchval("SELECT count(*) FROM job_timers WHERE fire_at IS NULL")
            == 20
        )
        (told,) = rig.told(EventName.NAMESPACES_HELD)
        assert (told["reason"], told["namespaces"]) == ("outage", 1)
        assert len(jobs) == 20


async def test_a_shorter_outage_is_caught_up_by_the_misfire_policies_as_ever(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY)
    async with await later(old, engine_pool, receiver, LIMIT - MINUTE) as rig:
        await rig.work()
        assert len(receiver.requests) == 1
        assert not await is_held(rig)


async def test_a_namespace_that_missed_nothing_goes_on_after_an_outage(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule={"every": "7d"})
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        assert not await is_held(rig)


async def test_release_lets_each_job_catch_up_by_its_own_policy(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    made: dict[str, Any] = {"overlap": "allow", "schedule": HOURLY}
    one = await old.job(**made, misfire={"policy": "once"})
    skip = await old.job(**made, misfire={"policy": "skip"})
    all_ = await old.job(**made, misfire={"policy": "all", "max_lateness": "3d"})
    async with await later(old, engine_pool, receiver, 2 * DAY + 30 * MINUTE) as rig:
        await rig.work()
        await decide(rig, "release")
        await work_off(rig)
        assert await became(rig, one) == {
            ("skipped", "merged", 47): 1,
            ("succeeded", "catch_up", 1): 1,
        }
        assert await became(rig, skip) == {("skipped", "misfire", 48): 1}
        assert await became(rig, all_) == {("succeeded", "catch_up", 1): 48}
        assert len(receiver.requests) == 49
        assert not await is_held(rig)
        (freed,) = rig.told(EventName.NAMESPACE_FREED)
        assert freed == {"namespace": "default", "missed": "release"}


async def test_skip_sends_nothing_and_the_ledger_says_held_for_every_occurrence(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    policies = [{"policy": "once"}, {"policy": "all", "max_lateness": "30d"}, {"policy": "skip"}]
    jobs = [await old.job(schedule=HOURLY, misfire=policies[n % 3]) for n in range(12)]
    async with await later(old, engine_pool, receiver, 2 * DAY + 30 * MINUTE) as rig:
        await rig.work()
        await decide(rig, "skip")
        await work_off(rig)
        assert receiver.requests == []
        for job in jobs:
            assert await became(rig, job) == {("skipped", "held", 48): 1}
        assert not await is_held(rig)
        await rig.pass_time(27 * MINUTE)
        await rig.work()
        assert len(receiver.requests) == 12, "the cadence goes on"


async def test_once_sends_one_catch_up_a_job_whatever_its_policy_at_a_bounded_rate(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    policies = [{"policy": "once", "max_lateness": "1m"}, {"policy": "all"}, {"policy": "skip"}]
    jobs = [await old.job(schedule=HOURLY, misfire=policies[n % 3]) for n in range(60)]
    async with await later(old, engine_pool, receiver, 2 * DAY + 30 * MINUTE) as rig:
        await rig.work()
        await decide(rig, "once", per_minute=30)
        await rig.work()
        assert len(receiver.requests) < 5
        for _ in range(60):
            await rig.work()
            await rig.pass_time(SECOND)
        assert 18 <= len(receiver.requests) <= 42, "a minute's worth, evenly"
        await work_off(rig)
        for job in jobs:
            assert await became(rig, job) == {
                ("skipped", "merged", 47): 1,
                ("succeeded", "catch_up", 1): 1,
            }
        assert len(receiver.requests) == 60
        assert not await is_held(rig)


async def a_backup(old: Rig) -> dict[str, UUID]:
    """Leave behind what a backup may catch: under way, waiting for a retry, behind another."""
    made = {
        name: await old.job(schedule=HOURLY, retry=PLAIN) for name in ("running", "retry", "behind")
    }
    await old.pass_time(HOUR)
    await old.tick()
    await old.parts.pool.execute(
        "UPDATE runs SET status = 'due', replica = NULL, next_attempt_at = $2,"
        " started_at = scheduled_for WHERE job_id = $1",
        made["retry"],
        instant_at(old.clock.ms + 5 * SECOND),
    )
    await old.parts.pool.execute(
        "INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, next_attempt_at,"
        " queued) SELECT gen_random_uuid(), scheduled_for + interval '1 minute', job_id, namespace,"
        " 'manual', 'due', next_attempt_at, true FROM runs WHERE job_id = $1",
        made["behind"],
    )
    return made


async def test_runs_that_were_under_way_or_waited_in_the_backup_are_not_sent_until_told(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await a_backup(old)
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        for _ in range(30):
            await upkeep.rescue(rig.parts)
            await upkeep.free_stranded(rig.parts)
            await rig.work()
            await rig.pass_time(SECOND)
        assert receiver.requests == []
        standing = await engine_pool.fetch("SELECT status, held, queued FROM runs ORDER BY held")
        assert [tuple(row) for row in standing] == [
            ("due", False, True),
            ("due", True, True),
            ("due", True, True),
            ("due", True, True),
        ]


async def test_skip_ends_what_had_not_ended_in_the_backup(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    made = await a_backup(old)
    async with await later(old, engine_pool, receiver, 2 * DAY + 30 * MINUTE) as rig:
        # Said at once: before the first claim, and before what was under way is rescued.
        await decide(rig, "skip")
        await work_off(rig)
        assert receiver.requests == []
        for name in ("running", "retry"):
            assert (await became(rig, made[name])).keys() == {
                ("cancelled", "held", 1),
                ("skipped", "held", 48),
            }
        assert await engine_pool.fetchval("SELECT count(*) FROM runs WHERE status = 'due'") == 0
        assert not await is_held(rig)


async def test_release_sends_what_had_not_ended_in_the_backup_under_its_old_id(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    made = await a_backup(old)
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await upkeep.rescue(rig.parts)
        await rig.work()
        before = {row["id"] for row in await rig.runs(made["running"])}
        await decide(rig, "release")
        await work_off(rig)
        sent = {UUID(one.headers["webhook-id"]) for one in receiver.requests}
        assert before <= sent
        assert not await is_held(rig)


async def test_a_backfill_stands_still_while_its_namespace_is_held(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    job = await old.job(schedule=HOURLY)
    await engine_pool.execute(
        "INSERT INTO backfills (id, job_id, namespace, range_from, range_to, schedule, anchored_at,"
        " overlap, max_per_minute, total, status, next_from, paced_at, created_at)"
        " SELECT gen_random_uuid(), id, 'default', created_at - interval '1 day', created_at,"
        " definition -> 'schedule', created_at, 'allow', 600, 24, 'running',"
        " created_at - interval '1 day', created_at, created_at FROM jobs WHERE id = $1",
        job,
    )
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        assert await backfill.make_steps(rig.parts) == 0
        await decide(rig, "skip")
        assert await engine_pool.fetchval("SELECT reason FROM backfills") == "held"


async def test_a_report_that_may_have_come_after_the_backup_is_waited_for(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY, target={"completion": "callback", "completion_timeout": "10m"})
    await old.pass_time(HOUR)
    await old.work()
    assert (await old.run())["completion_until"] is not None
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        assert await watch.expire(rig.parts) == 0
        await decide(rig, "release")
        await work_off(rig)
        assert await watch.expire(rig.parts) == 1


async def test_an_alert_of_what_did_not_start_is_not_raised_while_held(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    alerts = {"url": receiver.url("/alert"), "never_ran": True, "late_after": "1m"}
    job = await old.job(schedule=HOURLY, alerts=alerts)
    await engine_pool.execute(
        "INSERT INTO job_incidents (job_id, watch_at, quiet_from) VALUES ($1, $2, $2)",
        job,
        instant_at(old.clock.ms + HOUR),
    )
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await watch.look(rig.parts)
        assert await rig.runs() == []
        looked = await engine_pool.fetchval("SELECT watch_at FROM job_incidents")
        assert epoch_ms(looked) == rig.clock.ms + MINUTE


async def back_in_time(pool: Pool, interval: str) -> None:
    """Restore a backup so old under the feet of the replicas: what it did not have is not there."""
    await pool.execute(f"UPDATE replicas SET heartbeat_at = heartbeat_at - interval '{interval}'")
    await pool.execute(f"UPDATE continuity SET alive_at = alive_at - interval '{interval}'")


async def test_a_replica_that_lives_through_a_restore_holds_and_drops_what_it_had_in_hand(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY)
    old.clock.move(HOUR - 500)
    await old.beat()
    await old.tick()
    assert len(old.parts.hand.unsent()) == 1
    await back_in_time(engine_pool, "2 hours")
    await old.beat()
    old.clock.move(SECOND)
    await old.send()
    assert receiver.requests == []
    (told,) = old.told(EventName.NAMESPACES_HELD)
    assert (told["reason"], told["namespaces"]) == ("restored", 1)


async def test_of_two_that_live_through_a_restore_the_second_asks_nobody_again(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY)
    async with rigged(engine_pool, receiver, clock=old.clock, hold_after_ms=LIMIT) as other:
        old.clock.move(5 * SECOND)
        await old.beat()
        await other.beat()
        await back_in_time(engine_pool, "2 hours")
        old.clock.move(3 * SECOND)
        await old.beat()
        await decide(old, "release")
        assert not await is_held(old)
        await other.beat()
        assert not await is_held(other)
        assert other.told(EventName.NAMESPACES_HELD) == []


async def test_a_replica_of_the_api_alone_neither_judges_nor_says_that_it_lives(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY)
    async with rigged(engine_pool, receiver, clock=old.clock, hold_after_ms=LIMIT) as api:
        api.heart.who = msgspec.structs.replace(api.heart.who, role="api")
        await engine_pool.execute(
            "UPDATE replicas SET role = 'api' WHERE id = $1", api.parts.replica
        )
        for _ in range(3):
            old.clock.move(DAY)
            await api.beat()
    assert await engine_pool.fetchval("SELECT count(*) FROM holds") == 0
    async with await later(old, engine_pool, receiver, 0) as rig:
        assert await is_held(rig)


async def test_what_is_let_go_is_found_by_the_next_pass_of_whoever_lets_it_go(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    """Its instant lies behind the low-water mark, and no full scan is due."""
    job = await old.job(schedule=HOURLY)
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await rig.work()
        await rig.pass_time(SECOND)
        await rig.work()
        assert rig.pace.low.fire_ms > epoch_ms((await rig.timer(job))["scheduled_for"])
        await decide(rig, "release")
        await rig.tick()
        assert [row["status"] for row in await rig.runs(job)] == ["skipped", "running"]


async def test_what_is_let_go_is_told_to_the_other_replicas_from_its_instant_on(
    old: Rig, engine_pool: Pool, receiver: Receiver, dsn: str
) -> None:
    for _ in range(3):
        await old.job(schedule=HOURLY)
    due = old.clock.ms + HOUR
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await rig.work()
        heard: asyncio.Queue[str] = asyncio.Queue()
        conn = await asyncpg.connect(dsn, timeout=10)
        await conn.add_listener(CHANNEL, lambda *said: heard.put_nowait(str(said[3])))
        await decide(rig, "release")
        async with asyncio.timeout(10):
            while await heard.get() != f"wake {due}":
                pass
        await conn.close(timeout=5)


async def test_an_edit_of_the_schedule_while_held_loses_no_occurrence(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    job = await old.job(schedule=HOURLY)
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await rig.work()
        async with transaction(engine_pool) as conn:
            row = await conn.fetchrow(
                "SELECT scheduled_for, fire_at FROM job_timers WHERE job_id = $1", job
            )
            assert row is not None
            assert row["fire_at"] is None
            timer = await jobs.lock_timer(conn, job)
        assert timer is not None
        assert timer.fire_at == row["scheduled_for"], "an edit decides it as due"


async def test_an_edit_takes_back_nothing_that_has_its_turn_in_the_window_of_a_release(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    made = [await old.job(schedule=HOURLY) for _ in range(20)]
    await old.pass_time(HOUR)
    await old.tick()
    # What found no free slot: written, waiting for anybody, never attempted.
    await engine_pool.execute(
        "UPDATE runs SET status = 'due', replica = NULL, attempt_count = 0, claimed_at = NULL"
    )
    written = {row["id"] for row in await old.runs()}
    async with await later(old, engine_pool, receiver, 2 * DAY) as rig:
        await rig.work()
        await decide(rig, "once", per_minute=10)
        async with transaction(engine_pool) as conn:
            for job in made:
                await jobs.forget_unsent(conn, job, now_ms=rig.clock.ms)
        assert {row["id"] for row in await rig.runs()} >= written
        await work_off(rig, minutes=8)
        sent = {UUID(one.headers["webhook-id"]) for one in receiver.requests}
        assert sent >= written


async def test_a_pass_asks_nothing_of_holds_while_nothing_is_held_and_once_while_something_is(
    dsn: str, old: Rig, receiver: Receiver
) -> None:
    asked: Counter[str] = Counter()

    def note(name: str, _seconds: float, /, *, failed: bool) -> None:
        asked[name] += not failed

    pool = await open_pool(
        dsn,
        application_name="counted",
        planner=BY_KEY,
        on_statement=note,
    )
    async with rigged(pool, receiver, clock=old.clock, hold_after_ms=LIMIT) as rig:
        for _ in range(3):
            await rig.job(schedule=HOURLY)
        await rig.pass_time(HOUR)
        asked.clear()
        await rig.work()
        assert len(receiver.requests) == 3
        assert not asked.keys() & {"share_holds", "park_timers", "hold_runs", "all_holds"}
    old.clock.move(DAY)
    async with rigged(pool, receiver, clock=old.clock, hold_after_ms=LIMIT) as rig:
        asked.clear()
        for _ in range(5):
            await rig.work()
        # Parked by the first pass, and not met again by the others.
        assert (asked["share_holds"], asked["park_timers"]) == (1, 1)
        assert len(receiver.requests) == 3
    await close_pool(pool)


async def test_who_starts_soon_after_one_that_lived_long_and_left_holds_nothing(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    """Its row goes with it; that somebody lived is noted elsewhere."""
    await old.job(schedule=HOURLY)
    for _ in range(8):
        old.clock.move(6 * HOUR)
        await old.beat()
    async with connection(engine_pool) as conn:
        await replicas.leave(conn, old.parts.replica)
    assert await engine_pool.fetchval("SELECT count(*) FROM replicas") == 0
    async with await later(old, engine_pool, receiver, MINUTE) as rig:
        assert not await is_held(rig)


async def test_a_replica_of_an_older_build_that_still_beats_is_no_outage(
    old: Rig, engine_pool: Pool, receiver: Receiver
) -> None:
    await old.job(schedule=HOURLY)
    old.clock.move(DAY)
    await engine_pool.execute(
        "UPDATE replicas SET heartbeat_at = $1", instant_at(old.clock.ms - SECOND)
    )
    async with await later(old, engine_pool, receiver, 0) as rig:
        assert not await is_held(rig)
