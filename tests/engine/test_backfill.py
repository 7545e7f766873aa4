"""Backfills in the engine: every occurrence of the range once, and never before the cadence."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from asyncpg import Record
from msgspec import structs

from factories import MORNING_MS, definition, waiting_run
from receiver import OK, answer, held, raw
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.backfills import OPEN_MAX, Backfill, extents, timetable_of
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.engine import backfill, upkeep
from scheduler_svc.store import backfills
from scheduler_svc.store.pool import Connection, run_once_more, transaction

HOURLY = {"cron": "0 * * * *"}
BEGIN_MS = MORNING_MS - 48 * HOUR
OLD = (instant_at(BEGIN_MS),)
QUOTA = '{"reason": "quota", "key": null, "count": 1, "since": "2026-01-05T08:00:00Z"}'


async def ask(rig: Rig, job_id: UUID, *, hours: int = 24, **changes: Any) -> Backfill:
    """Ask for so many occurrences of an hourly job, as the API does."""
    now = instant_at(rig.clock.now_ms())
    made = Backfill(
        **{
            "id": uuid4(),
            "job_id": job_id,
            "namespace": "default",
            "range_from": instant_at(BEGIN_MS),
            "range_to": instant_at(BEGIN_MS + hours * HOUR),
            "schedule": definition(schedule=HOURLY).schedule,
            "anchored_at": now,
            "overlap": "allow",
            "max_per_minute": 6000,
            "total": 0,
            "next_from_ms": BEGIN_MS,
            "paced_ms": rig.clock.now_ms(),
            "created_at": now,
            **changes,
        }
    )
    *_, counted = extents(timetable_of(made), BEGIN_MS, epoch_ms(made.range_to))
    made = structs.replace(made, total=counted.count)
    async with transaction(rig.parts.pool) as conn:
        await backfills.insert_backfill(conn, made)
    return made


async def seen(rig: Rig, made: Backfill) -> Backfill:
    """Read it back."""
    async with transaction(rig.parts.pool) as conn:
        found = await backfills.get_backfill(conn, "default", made.id)
    assert found is not None
    return found


async def made_runs(rig: Rig, made: Backfill) -> list[Record]:
    return [row for row in await rig.runs() if row["backfill_id"] == made.id]


async def work_off(rig: Rig, made: Backfill, *, passes: int = 200) -> Backfill:
    """Step, claim, send and settle, a second each time, until it has ended."""
    for _ in range(passes):
        await backfill.make_steps(rig.parts)
        await rig.work()
        if (after := await seen(rig, made)).status != "running":
            return after
        await rig.pass_time(SECOND)
    pytest.fail("the backfill did not end")


@pytest.mark.parametrize("overlap", ["allow", "queue"])
async def test_every_occurrence_of_the_range_is_sent_once_and_the_progress_is_exact(
    rig: Rig, overlap: str
) -> None:
    job_id = await rig.job(schedule=HOURLY, name="hourly")
    made = await ask(rig, job_id, hours=40, overlap=overlap)
    after = await work_off(rig, made)
    assert (after.status, after.total, after.created, after.done) == ("completed", 40, 40, 40)
    rows = await made_runs(rig, made)
    assert [row["scheduled_for"] for row in rows] == [
        instant_at(BEGIN_MS + n * HOUR) for n in range(40)
    ]
    assert {(row["status"], row["trigger"], row["job_name"]) for row in rows} == {
        ("succeeded", "backfill", "hourly")
    }
    assert rows[0]["id"] == run_id(job_id, BEGIN_MS, made.id)
    assert len(rig.receiver.requests) == 40
    assert rig.receiver.requests[0].headers["scheduler-trigger"] == "backfill"
    assert rig.told(EventName.BACKFILL_COMPLETED) == [
        {"backfill_id": made.id, "job_id": job_id, "created": 40}
    ]


async def test_under_queue_one_is_sent_after_the_other(rig: Rig) -> None:
    rig.receiver.on("/", held(gate := asyncio.Event(), raw(OK)))
    made = await ask(rig, await rig.job(schedule=HOURLY), overlap="queue")
    await backfill.make_steps(rig.parts)
    await rig.tick()
    async with rig.sending():
        await rig.pass_time(MINUTE)
        await backfill.make_steps(rig.parts)
        assert len(await made_runs(rig, made)) == 1
        gate.set()
    await backfill.make_steps(rig.parts)
    assert len(await made_runs(rig, made)) == 2


async def test_under_skip_what_meets_an_unfinished_run_is_written_as_skipped(rig: Rig) -> None:
    made = await ask(rig, await rig.job(schedule=HOURLY), overlap="skip", max_per_minute=60)
    await backfill.make_steps(rig.parts)
    await rig.pass_time(SECOND)
    await backfill.make_steps(rig.parts)
    first, second = await made_runs(rig, made)
    assert (first["status"], first["reason"]) == ("due", None)
    assert (second["status"], second["reason"]) == ("skipped", "overlap")
    after = await seen(rig, made)
    assert (after.created, after.done) == (2, 1)


async def test_two_replicas_step_the_same_backfills_and_double_nothing(
    rig: Rig, other: Rig
) -> None:
    made = [await ask(rig, await rig.job(schedule=HOURLY), hours=20) for _ in range(3)]
    for _ in range(10):
        await asyncio.gather(*(backfill.make_steps(one.parts) for one in (rig, other) * 2))
        await asyncio.gather(rig.work(), other.work())
        await rig.pass_time(SECOND)
        await other.beat()
    for one in made:
        assert (await seen(rig, one)).status == "completed"
        assert len(await made_runs(rig, one)) == 20
    assert len(rig.receiver.requests) == 60


async def test_a_step_that_does_not_commit_leaves_neither_runs_nor_a_moved_cursor(rig: Rig) -> None:
    made = await ask(rig, await rig.job(schedule=HOURLY))
    before = await seen(rig, made)

    async def die_in_the_middle(conn: Connection) -> None:
        stepped = await backfill.step_next(rig.parts, conn, set())
        assert stepped is not None
        assert stepped.made == 24
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_once_more(rig.parts.pool, die_in_the_middle)
    assert (await made_runs(rig, made), await seen(rig, made)) == ([], before)
    assert (await work_off(rig, made)).created == 24


async def test_a_replica_that_dies_with_runs_in_its_hand_delays_them_and_loses_none(
    rig: Rig, other: Rig
) -> None:
    made = await ask(rig, await rig.job(schedule=HOURLY))
    await backfill.make_steps(rig.parts)
    await rig.tick()
    assert len(rig.held()) == 24
    other.clock.move(MINUTE)
    await other.beat()
    await upkeep.rescue(other.parts)
    after = await work_off(other, made)
    assert (after.status, after.done) == ("completed", 24)


@pytest.mark.parametrize("policy", ["skip", "queue", "cancel"])
async def test_the_cadence_does_not_see_the_runs_of_a_backfill(rig: Rig, policy: str) -> None:
    rig.receiver.on("/", held(gate := asyncio.Event(), raw(OK)))
    job_id = await rig.job(schedule=HOURLY, overlap=policy)
    made = await ask(rig, job_id, hours=3)
    await backfill.make_steps(rig.parts)
    await rig.pass_time(SECOND)
    await rig.tick()
    await rig.pass_time(SECOND // 2)
    async with rig.sending(3):
        await rig.pass_time(HOUR)
        await rig.tick()
        (run,) = [row for row in await rig.runs() if row["trigger"] == "schedule"]
        assert (run["status"], run["queued"]) == ("running", False)
        gate.set()
    await rig.send()
    assert {row["status"] for row in await made_runs(rig, made)} == {"succeeded"}
    assert {row["status"] for row in await rig.runs()} == {"succeeded"}


async def test_what_waits_beside_the_cadence_goes_before_any_backfill(rig: Rig) -> None:
    rig.parts.hand.slots = 1
    await ask(rig, await rig.job(schedule=HOURLY, priority=100), hours=3)
    await backfill.make_steps(rig.parts)
    humble = await rig.job(schedule=HOURLY, priority=-100)
    await waiting_run(rig.parts.pool, humble, at_ms=MORNING_MS + 5, priority=-100)
    await rig.tick()
    assert [held.claim.trigger for held in rig.held()] == ["manual"]


async def test_backfills_have_a_share_of_the_slots_and_no_more(rig: Rig) -> None:
    rig.parts.hand.slots = 20
    for _ in range(3):
        await ask(rig, await rig.job(schedule=HOURLY))
    for _ in range(5):
        await backfill.make_steps(rig.parts)
        await rig.pass_time(SECOND)
    open_runs = [row for row in await rig.runs() if row["backfill_id"] is not None]
    assert len(open_runs) == 20 // backfill.SLOTS_SHARE


async def test_a_failing_target_is_not_flooded(rig: Rig) -> None:
    rig.receiver.on("/", answer(503))
    job_id = await rig.job(schedule=HOURLY, retry={"jitter": "none"})
    made = await ask(rig, job_id, hours=48)
    for _ in range(5):
        await backfill.make_steps(rig.parts)
        await rig.work()
    assert len(await made_runs(rig, made)) <= OPEN_MAX
    assert (await seen(rig, made)).done == 0


async def test_at_a_slow_rate_the_runs_are_spaced(rig: Rig) -> None:
    made = await ask(rig, await rig.job(schedule=HOURLY), hours=4, max_per_minute=1)
    dues = []
    for _ in range(4 * 60):
        await backfill.make_steps(rig.parts)
        dues += [row["next_attempt_at"] for row in await made_runs(rig, made)]
        await rig.work()
        await rig.pass_time(SECOND)
    turns = sorted({due for due in dues if due is not None})
    assert [(b - a).total_seconds() for a, b in pairwise(turns)] == [60.0, 60.0, 60.0]
    assert (await seen(rig, made)).status == "completed"


async def test_a_backfill_that_can_not_be_decided_is_set_aside_and_the_others_go_on(
    rig: Rig,
) -> None:
    poisoned = await ask(rig, await rig.job(schedule=HOURLY))
    await rig.parts.pool.execute("""UPDATE backfills SET schedule = '{"cron": "no such thing"}'""")
    healthy = await ask(rig, await rig.job(schedule=HOURLY), hours=3)
    assert (await work_off(rig, healthy)).status == "completed"
    after = (await seen(rig, poisoned)).status, (await seen(rig, poisoned)).reason
    assert after == ("cancelled", "undecidable")
    (told,) = rig.told(EventName.BACKFILL_CANCELLED)
    assert told["error"]


async def test_the_backfill_of_a_job_that_vanished_ends_with_its_runs(rig: Rig) -> None:
    job_id = await rig.job(schedule=HOURLY)
    made = await ask(rig, job_id, hours=40)
    await backfill.make_steps(rig.parts)
    await rig.parts.pool.execute("DELETE FROM jobs WHERE id = $1", job_id)
    await rig.pass_time(SECOND)
    await backfill.make_steps(rig.parts)
    after = await seen(rig, made)
    assert (after.status, after.reason) == ("cancelled", "job_deleted")
    assert {row["status"] for row in await made_runs(rig, made)} == {"cancelled"}


async def test_a_backfill_that_is_cancelled_makes_no_more(rig: Rig) -> None:
    made = await ask(rig, await rig.job(schedule=HOURLY), hours=40)
    await backfill.make_steps(rig.parts)
    async with transaction(rig.parts.pool) as conn:
        await backfills.end_backfill(
            conn, made.id, status="cancelled", reason="cancelled", now_ms=rig.clock.now_ms()
        )
    await rig.pass_time(MINUTE)
    await backfill.make_steps(rig.parts)
    await rig.work()
    assert rig.receiver.requests == []
    rows = await made_runs(rig, made)
    assert {(row["status"], row["reason"]) for row in rows} == {("cancelled", "cancelled")}
    assert (await seen(rig, made)).created == len(rows)


async def test_a_target_that_is_gone_ends_the_backfills_of_its_job(rig: Rig) -> None:
    rig.receiver.on("/", answer(410))
    job_id = await rig.job(schedule=HOURLY)
    made = [await ask(rig, job_id, max_per_minute=30) for _ in range(2)]
    await backfill.make_steps(rig.parts)
    await rig.work()
    for one in made:
        after = await seen(rig, one)
        assert (after.status, after.reason) == ("cancelled", "gone")
    await rig.pass_time(SECOND // 2)
    await rig.send()  # what was claimed already goes on
    assert [(await seen(rig, one)).done for one in made] == [2, 2]
    assert await rig.state(job_id) == "paused"
    assert len(rig.receiver.requests) == 2


async def test_what_ended_long_ago_is_forgotten_and_what_runs_is_not(rig: Rig) -> None:
    old = await ask(rig, await rig.job(schedule=HOURLY), hours=2)
    await work_off(rig, old)
    slow = await ask(rig, await rig.job(schedule=HOURLY), max_per_minute=1)
    await rig.pass_time(30 * 24 * HOUR)
    await backfill.prune(rig.parts, retention_days=7)
    ids = [row["id"] for row in await rig.parts.pool.fetch("SELECT id FROM backfills")]
    assert ids == [slow.id]


async def test_a_run_that_was_queued_does_not_wait_for_a_backfill(rig: Rig) -> None:
    job_id = await rig.job(schedule=HOURLY, overlap="queue")
    await ask(rig, job_id, hours=3)
    await backfill.make_steps(rig.parts)
    queued = await waiting_run(rig.parts.pool, job_id, at_ms=MORNING_MS, queued=True)
    await upkeep.free_stranded(rig.parts)
    found = await rig.parts.pool.fetchval("SELECT queued FROM runs WHERE id = $1", queued)
    assert found is False


@pytest.mark.parametrize("what", ["is held", "waits for its minute", "is under way"])
async def test_what_may_not_go_of_one_namespace_leaves_the_share_to_the_others(
    rig: Rig, what: str
) -> None:
    """For days, where nobody says what becomes of a held one; what is under way has its share."""
    mine = await ask(rig, await rig.job(schedule=HOURLY))
    slow = await ask(rig, await rig.job(schedule=HOURLY), namespace="slow", hours=48)
    await rig.parts.pool.execute("UPDATE backfills SET paced_at = $1 WHERE id = $2", *OLD, mine.id)
    share = rig.parts.hand.slots // backfill.SLOTS_SHARE
    for n in range(share):
        at_ms = BEGIN_MS + n * HOUR
        await waiting_run(
            rig.parts.pool, slow.job_id, at_ms=at_ms, trigger="backfill", backfill_id=slow.id
        )
    changes = {
        "is held": "held = true, queued = true",
        "waits for its minute": f"deferral = '{QUOTA}', next_attempt_at = now() + interval '1 day'",
        "is under way": "status = 'running', replica = gen_random_uuid()",
    }
    await rig.parts.pool.execute(f"UPDATE runs SET namespace = 'slow', {changes[what]}")
    await rig.parts.pool.execute("UPDATE backfills SET created = $1 WHERE id = $2", share, slow.id)
    await backfill.make_steps(rig.parts)
    assert bool(await made_runs(rig, mine)) is (what != "is under way")
    assert len(await made_runs(rig, slow)) == share, "it has its own share, and no more"
