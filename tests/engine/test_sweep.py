"""History that goes by row: by age, by count, by whose rule, and never what somebody needs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Raw, json

from ledger import a_run, add_job, due_run, write
from rig import HOUR, Rig
from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.namespaces import NamespaceSettings
from scheduler_svc.domain.retention import Kept, Retention, kept
from scheduler_svc.engine import history
from scheduler_svc.engine import sweep as sweeping
from scheduler_svc.engine.history import Keeping, keep_days
from scheduler_svc.engine.sweep import sweep
from scheduler_svc.store import histories, namespaces, partitions
from scheduler_svc.store.pool import Pool, connection, transaction

DAY = 24 * HOUR
KEEPING = Keeping(ahead=0, usual=Kept(30 * DAY, None), longest_ms=90 * DAY)


@pytest.fixture(autouse=True)
async def days(engine_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Small pages and batches; without a partition of any day at the end."""
    monkeypatch.setattr(sweeping, "PAGE_JOBS", 2)
    monkeypatch.setattr(sweeping, "BATCH", 3)
    monkeypatch.setattr(sweeping, "PAUSE_SECONDS", 0.0)
    yield
    async with connection(engine_pool) as conn:
        for name in await partitions.names(conn):
            await conn.execute(f"DROP TABLE {name}")


async def _job(rig: Rig, *ages: int, **changes: Any) -> PlannedJob:
    """Store a job with an ended run of each age, in milliseconds."""
    async with transaction(rig.parts.pool) as conn:
        job = await add_job(conn, **changes)
        now_ms = rig.clock.now_ms()
        runs = [
            a_run(job, now_ms - age, status="skipped", reason="overlap", fire_ms=now_ms - age)
            for age in ages
        ]
        for run in runs:
            await write(conn, job, run, replica=rig.parts.replica, now_ms=run.scheduled_ms)
    return job


async def _ages(rig: Rig, job: PlannedJob, unit: int = DAY) -> list[int]:
    rows = await rig.parts.pool.fetch(
        "SELECT scheduled_for FROM runs WHERE job_id = $1 ORDER BY scheduled_for DESC", job.id
    )
    return [(rig.clock.now_ms() - epoch_ms(row["scheduled_for"])) // unit for row in rows]


async def _namespace(rig: Rig, settings: NamespaceSettings) -> None:
    async with transaction(rig.parts.pool) as conn:
        await namespaces.insert_namespace(conn, "default", settings, instant_at(rig.clock.now_ms()))
    await rig.parts.namespaces.load(rig.parts.pool)


def _asks(**fields: Any) -> dict[str, Any]:
    return {"retention": fields}


@pytest.mark.parametrize(
    ("job", "namespace", "expected"),
    [
        ({}, {}, Kept(30, 7)),
        ({"age": "2ms"}, {}, Kept(2, 7)),
        ({}, {"age": "3ms", "count": 2}, Kept(3, 2)),
        ({"age": "5ms"}, {"age": "3ms", "count": 2}, Kept(5, 2)),
        ({"count": 9}, {"age": "3ms", "count": 2}, Kept(3, 9)),
        ({"age": "1h"}, {}, Kept(50, 7)),
    ],
)
def test_the_job_goes_before_its_namespace_and_that_before_the_operator(
    job: dict[str, Any], namespace: dict[str, Any], expected: Kept
) -> None:
    asked = Retention(**job), Retention(**namespace)
    assert kept(*asked, usual=Kept(30, 7), longest_ms=50) == expected


async def test_a_job_keeps_its_own_age_and_the_others_theirs(rig: Rig) -> None:
    ages = (HOUR, 2 * DAY, 5 * DAY, 8 * DAY)
    short = await _job(rig, *ages, **_asks(age="4d"))
    usual = await _job(rig, *ages)
    assert await sweep(rig.parts, KEEPING) == 2
    assert await _ages(rig, short) == [0, 2]
    assert await _ages(rig, usual) == [0, 2, 5, 8]
    assert rig.events[-1] == (EventName.HISTORY_PRUNED, {"jobs": 1, "runs": 2})
    assert await sweep(rig.parts, KEEPING) == 0


async def test_a_job_keeps_so_many_of_its_newest_ended_runs(rig: Rig) -> None:
    job = await _job(rig, *(n * DAY for n in range(1, 12)), **_asks(count=3))
    async with transaction(rig.parts.pool) as conn:
        await due_run(conn, job, due_ms=rig.clock.now_ms() - 20 * DAY)
    assert await sweep(rig.parts, KEEPING) == 8
    assert await _ages(rig, job) == [1, 2, 3, 20], "what is unfinished stays, and is not counted"


async def test_a_nul_in_a_body_is_in_nobodys_way(rig: Rig) -> None:
    """PostgreSQL reads no JSON that has one."""
    bodies = [
        Raw(json.encode(body))
        for body in ({"text": "a\0b", "retention": {"age": "9d"}}, {"retention": "\\u0000"})
    ]
    target = {"url": "http://127.0.0.1/"}
    asks = await _job(
        rig, 2 * DAY, 9 * DAY, target={**target, "body": bodies[0]}, **_asks(age="3d")
    )
    plain = [await _job(rig, 2 * DAY, 9 * DAY, target={**target, "body": body}) for body in bodies]
    assert await sweep(rig.parts, KEEPING) == 1
    await keep_days(rig.parts, KEEPING)
    assert await _ages(rig, asks) == [2]
    assert [await _ages(rig, job) for job in plain] == [[2, 9], [2, 9]]


async def test_runs_that_ended_within_the_hour_stay_whatever_the_count(rig: Rig) -> None:
    job = await _job(rig, *(n * HOUR // 2 for n in range(5)), **_asks(count=1))
    assert await sweep(rig.parts, KEEPING) == 2
    assert await _ages(rig, job, HOUR // 2) == [0, 1, 2]


async def test_a_namespace_rules_its_jobs_and_those_that_are_gone(rig: Rig) -> None:
    await _namespace(rig, NamespaceSettings(retention=Retention(age="3d", count=3)))
    ages = (2 * HOUR, 3 * HOUR, 4 * HOUR, 5 * HOUR, 4 * DAY)
    gone = await _job(rig, *ages)
    own = await _job(rig, *ages, **_asks(age="10d", count=5))
    await rig.parts.pool.execute("DELETE FROM jobs WHERE id = $1", gone.id)
    assert await sweep(rig.parts, KEEPING) == 2
    assert await _ages(rig, gone, HOUR) == [2, 3, 4]
    assert len(await _ages(rig, own)) == 5


async def test_settings_of_a_namespace_that_this_build_can_not_read_keep_everything(
    rig: Rig,
) -> None:
    job = await _job(rig, 2 * DAY, 40 * DAY, **_asks(count=1))
    await rig.parts.pool.execute(
        "INSERT INTO namespaces VALUES ('default', '{\"of_a_newer_build\": 1}', 1, now(), now())"
    )
    await rig.parts.namespaces.load(rig.parts.pool)
    assert await sweep(rig.parts, KEEPING) == 0
    await keep_days(rig.parts, KEEPING)
    assert await _ages(rig, job) == [2, 40]


async def test_what_one_job_asks_for_keeps_the_days_and_costs_the_others_their_rows(
    rig: Rig,
) -> None:
    """Days go by the longest that is asked for; what asks for less goes by row."""
    for age in (20, 40, 60, 100):
        async with connection(rig.parts.pool) as conn:
            day = instant_at(rig.clock.now_ms()).date() - timedelta(days=age - 1)
            await partitions.ensure(conn, today=day, ahead=-1)
    ages = [age * DAY for age in (20, 40, 60, 100)]
    usual = await _job(rig, *ages)
    longer = await _job(rig, *ages, **_asks(age="50d"))
    greedy = await _job(rig, *ages, **_asks(age="80d"))
    await keep_days(rig.parts, KEEPING)
    await sweep(rig.parts, KEEPING)
    assert await _ages(rig, usual) == [20]
    assert await _ages(rig, longer) == [20, 40]
    assert await _ages(rig, greedy) == [20, 40, 60]


async def test_what_was_stored_under_another_bound_gets_the_bound(rig: Rig) -> None:
    job = await _job(rig, 20 * DAY, 95 * DAY, **_asks(age="3650d"))
    await keep_days(rig.parts, KEEPING)
    await sweep(rig.parts, KEEPING)
    assert await _ages(rig, job) == [20]


async def test_where_nobody_asks_for_anything_no_job_is_looked_at(rig: Rig) -> None:
    await _job(rig, 2 * DAY, 29 * DAY)
    await rig.parts.pool.execute("ALTER TABLE runs RENAME TO runs_away")
    try:
        assert await sweep(rig.parts, KEEPING) == 0
    finally:
        await rig.parts.pool.execute("ALTER TABLE runs_away RENAME TO runs")


async def test_the_namespace_of_a_running_replay_is_left_alone_until_that_has_ended(
    rig: Rig,
) -> None:
    job = await _job(rig, 2 * DAY, 9 * DAY, **_asks(age="3d"))
    await rig.parts.pool.execute(
        "INSERT INTO replays (id, namespace, filter, max_per_minute, total, status, after_at,"
        " after_id, paced_at, created_at) VALUES ($1, 'default', '{}', 1, 2, 'running', $2, $1,"
        " $2, $2)",
        uuid4(),
        instant_at(rig.clock.now_ms() - 20 * DAY),
    )
    assert await sweep(rig.parts, KEEPING) == 0
    await rig.parts.pool.execute("UPDATE replays SET status = 'completed', finished_at = now()")
    assert await sweep(rig.parts, KEEPING) == 1
    assert await _ages(rig, job) == [2]


async def test_what_has_no_day_of_its_own_stays_for_a_running_replay_too(rig: Rig) -> None:
    """Runs of a backfill reach back beyond all days, into the default partition."""
    job = await _job(rig, 2 * DAY, 40 * DAY)
    await rig.parts.pool.execute(
        "INSERT INTO replays (id, namespace, filter, max_per_minute, total, status, after_at,"
        " after_id, paced_at, created_at) VALUES ($1, 'default', '{}', 1, 2, 'running', $2, $1,"
        " $2, $2)",
        uuid4(),
        instant_at(rig.clock.now_ms() - 50 * DAY),
    )
    await keep_days(rig.parts, KEEPING)
    assert await _ages(rig, job) == [2, 40]
    await rig.parts.pool.execute("UPDATE replays SET status = 'completed', finished_at = now()")
    await keep_days(rig.parts, KEEPING)
    assert await _ages(rig, job) == [2]


async def test_a_day_that_never_had_its_own_table_goes_whole_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "PRUNE_BATCH", 2)
    monkeypatch.setattr(history, "PRUNE_REST_SECONDS", 0.0)
    job = await _job(rig, 2 * DAY, *(100 * DAY + n for n in range(5)))
    await keep_days(rig.parts, KEEPING)
    assert await _ages(rig, job) == [2]


async def test_a_row_that_somebody_holds_is_not_waited_for(rig: Rig) -> None:
    job = await _job(rig, 5 * DAY, 6 * DAY, 7 * DAY, **_asks(age="3d"))
    async with transaction(rig.parts.pool) as holder:
        held = instant_at(rig.clock.now_ms() - 6 * DAY)
        await holder.fetch("SELECT 1 FROM runs WHERE scheduled_for = $1 FOR UPDATE", held)
        async with asyncio.timeout(5):
            assert await sweep(rig.parts, KEEPING) == 2
    assert await sweep(rig.parts, KEEPING) == 1
    assert await _ages(rig, job) == []


async def test_a_row_for_a_range_goes_with_its_end(rig: Rig) -> None:
    async with transaction(rig.parts.pool) as conn:
        job = await add_job(conn, **_asks(age="3d"))
        at_ms = rig.clock.now_ms() - 5 * DAY
        run = a_run(
            job,
            at_ms,
            status="skipped",
            reason="misfire",
            occurrences=4,
            until_ms=at_ms + 3 * DAY,
        )
        await write(conn, job, run, replica=rig.parts.replica, now_ms=at_ms)
    assert await sweep(rig.parts, KEEPING) == 0
    await rig.pass_time(2 * DAY)
    assert await sweep(rig.parts, KEEPING) == 1


async def test_it_is_noted_up_to_where_a_job_was_pruned_as_long_as_that_says_something(
    rig: Rig,
) -> None:
    job = await _job(rig, 2 * DAY, 9 * DAY, **_asks(age="3d"))
    await sweep(rig.parts, KEEPING)
    async with connection(rig.parts.pool) as conn:
        assert await histories.pruned_before(conn, job.id) == rig.clock.now_ms() - 3 * DAY
        day = instant_at(rig.clock.now_ms()).date()
        await partitions.ensure(conn, today=day, ahead=0)
    await sweep(rig.parts, KEEPING)
    async with connection(rig.parts.pool) as conn:
        assert await histories.pruned_before(conn, job.id) == 0, "history begins after it anyway"


async def test_one_replica_sweeps_and_the_next_an_hour_later(rig: Rig) -> None:
    now_ms = rig.clock.now_ms()
    async with connection(rig.parts.pool) as conn:

        async def take(at_ms: int) -> bool:
            return await histories.take_turn(conn, "x", now_ms=at_ms, until_ms=at_ms + HOUR)

        assert await take(now_ms)
        assert not await take(now_ms + HOUR - 1)
        assert await take(now_ms + HOUR)


def test_jobs_and_namespaces_that_ask_for_nothing_are_stored_as_before() -> None:
    """So that a build which does not know of it reads all that does not use it."""
    assert b"retention" not in json.encode(NamespaceSettings())
