"""What a notice makes a replica do, and that its end is written whatever the database does."""

import asyncio
from uuid import uuid4

from factories import MORNING_MS, waiting_run
from pressing import KEY, limit
from receiver import OK, held, raw
from rig import HOUR, MINUTE, SECOND, Rig
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.retention import Kept
from scheduler_svc.engine import hear, settle, upkeep
from scheduler_svc.engine.history import Keeping, keep_days
from scheduler_svc.store import partitions
from scheduler_svc.store.pool import Pool, connection

EVERY = {"every": "1h"}


async def _hear(rig: Rig, word: str, argument: str = "") -> None:
    """Hear one notice and let what it starts come to its end."""
    async with asyncio.TaskGroup() as tasks:
        hear.hearer(rig.parts, rig.pace, rig.outbox, tasks)(word, argument)


async def _rung(rig: Rig) -> bool:
    """Tell whether the claim was rung for."""
    try:
        async with asyncio.timeout(0.01):
            await rig.parts.to_claim.wait(None)
    except TimeoutError:
        return False
    return True


async def _hold_one(rig: Rig) -> str:
    """Claim one occurrence 500 ms ahead of its instant; return its job's id."""
    job = await rig.job(schedule=EVERY)
    await rig.pass_time(HOUR - 500)
    await rig.tick()
    assert len(rig.held()) == 1
    return str(job)


async def test_a_wake_rings_where_the_work_is_nearer_than_the_next_look(rig: Rig) -> None:
    rig.pace.wake_ms = MORNING_MS + 5 * SECOND
    await _hear(rig, "wake", str(MORNING_MS + MINUTE))
    assert not await _rung(rig)
    await _hear(rig, "wake", str(MORNING_MS + 2 * SECOND))
    assert await _rung(rig)


async def test_a_change_of_keys_is_read_in_the_pass_that_it_rings_for(
    rig: Rig, engine_pool: Pool
) -> None:
    await rig.tick()
    await limit(engine_pool, parallel=1)
    await _hear(rig, "keys", "-")
    assert await _rung(rig)
    await rig.tick()
    assert rig.parts.pressure.reason(KEY) == "concurrency"


async def test_who_begins_to_listen_reads_keys_and_namespaces_anew(
    rig: Rig, engine_pool: Pool
) -> None:
    """A limit that was set while nobody listened would count 3 s later, and its first runs not."""
    await rig.tick()
    await limit(engine_pool, parallel=1)
    await _hear(rig, "wake", "0")
    await rig.tick()
    assert rig.parts.pressure.reason(KEY) == "concurrency"
    async with asyncio.timeout(10):
        await rig.parts.namespaces.changed.wait(None)


async def test_a_wake_during_a_pass_is_never_lost(rig: Rig) -> None:
    """While the loop looks it does not know yet when it will look again."""
    await _hear(rig, "wake", str(MORNING_MS + MINUTE))
    assert await _rung(rig)


async def test_a_wake_of_all_begins_the_scan_anew(rig: Rig) -> None:
    await rig.pass_time(HOUR)
    await rig.tick()
    assert rig.pace.low.fire_ms > 0
    await _hear(rig, "wake", "0")
    assert rig.pace.low.fire_ms < 0
    job = await rig.job(schedule=EVERY, at_ms=MORNING_MS + 1, created_ms=MORNING_MS + 1)
    await rig.tick()
    assert await rig.runs(job) != []


async def test_forget_takes_a_held_run_of_that_job_away(rig: Rig, engine_pool: Pool) -> None:
    job = await _hold_one(rig)
    await engine_pool.execute(
        "UPDATE job_timers SET scheduled_for = $1, fire_at = $1", instant_at(MORNING_MS + HOUR)
    )
    await _hear(rig, "forget", str(uuid4()))
    assert len(rig.held()) == 1
    await _hear(rig, "forget", job)
    assert rig.held() == []
    assert await rig.runs() == []


async def test_release_puts_a_held_run_back(rig: Rig) -> None:
    job = await _hold_one(rig)
    await _hear(rig, "release", job)
    assert rig.held() == []
    assert await rig.said() == [("due", None)]


async def test_what_is_being_sent_is_neither_forgotten_nor_released(rig: Rig) -> None:
    gate = asyncio.Event()
    rig.receiver.on("/", held(gate, raw(OK)))
    job = await _hold_one(rig)
    await rig.pass_time(500)
    async with rig.sending():
        await _hear(rig, "forget", job)
        await _hear(rig, "release", job)
        gate.set()
    assert await rig.said() == [("succeeded", None)]


async def test_cancel_ends_a_run(rig: Rig) -> None:
    await _hold_one(rig)
    await _hear(rig, "cancel", str(rig.held()[0].claim.id))
    await rig.settle()
    assert await rig.said() == [("cancelled", "cancelled")]


async def test_a_word_of_a_newer_version_is_passed_over(rig: Rig) -> None:
    await _hear(rig, "dance", "now")


async def test_what_can_not_be_given_up_now_is_given_up_later(rig: Rig, engine_pool: Pool) -> None:
    """The database was away; the run is out of sending all the same."""
    await _hold_one(rig)
    runs = rig.held()
    rig.parts.hand.withdraw(runs)
    rig.outbox.unsendable(runs[0])
    await rig.pass_time(SECOND)
    await rig.send()
    assert rig.receiver.requests == []
    await upkeep.give_back_lapsed(rig.parts, rig.outbox)
    assert rig.outbox.lapsed == []
    assert await rig.said() == [("due", None)]


async def test_ends_are_settled_in_batches_until_none_is_left(rig: Rig, engine_pool: Pool) -> None:
    job = await rig.job(schedule={"every": "30d"})
    for n in range(20):
        await waiting_run(engine_pool, job, at_ms=MORNING_MS + n)
    await rig.pass_time(SECOND)
    await rig.tick()
    async with rig.sending(requests=20):
        pass
    assert await rig.said() == [("succeeded", None)] * 20
    assert len(rig.parts.hand) == 0
    await settle.flush(rig.parts, rig.outbox)  # with nothing to do it asks nothing


async def test_the_upkeep_makes_the_coming_days_and_drops_the_old_ones(
    rig: Rig, engine_pool: Pool
) -> None:
    await _drop_all(engine_pool)
    await keep_days(
        rig.parts, Keeping(ahead=2, usual=Kept(3 * 24 * HOUR, None), longest_ms=3 * 24 * HOUR)
    )
    async with connection(engine_pool) as conn:
        assert len(await partitions.names(conn)) == 4
    await rig.pass_time(6 * 24 * HOUR)
    await keep_days(
        rig.parts, Keeping(ahead=2, usual=Kept(3 * 24 * HOUR, None), longest_ms=3 * 24 * HOUR)
    )
    left = await _drop_all(engine_pool)
    assert left == [f"runs_p202601{day:02}" for day in (10, 11, 12, 13)]


async def _drop_all(pool: Pool) -> list[str]:
    """Drop the partitions of all days, also those that services of other tests made."""
    async with connection(pool) as conn:
        found = await partitions.names(conn)
        for name in found:
            await conn.execute(f"DROP TABLE {name}")
    return found


async def test_the_upkeep_forgets_replicas_long_dead(rig: Rig, other: Rig) -> None:
    await rig.pass_time(2 * HOUR)
    await rig.beat()
    await upkeep.free_stranded(rig.parts)
    assert await rig.parts.pool.fetchval("SELECT id FROM replicas") == rig.parts.replica
