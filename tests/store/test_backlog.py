"""The backlog: what is due and waits, counted by index and up to a bound."""

import contextlib
from datetime import timedelta
from uuid import uuid4

import asyncpg

from factories import MORNING_MS
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.backlog import Backlog, Waiting, backlog
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.watch import name_of, watched

NOW = instant_at(MORNING_MS)


async def timer(pool: Pool, seconds: float, *, runs_made: int = 1) -> None:
    """Store a job that is due so many seconds from now."""
    job, at = uuid4(), NOW + timedelta(seconds=seconds)
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO jobs VALUES ($1, 'default', NULL, '', '{}', '{}', 'active', NULL, 1,"
            " $2, $2)",
            job,
            NOW,
        )
        await conn.execute("INSERT INTO job_timers VALUES ($1, $2, $2, 1, $3)", job, at, runs_made)


async def run(pool: Pool, seconds: float, *, priority: int = 0, queued: bool = False) -> None:
    """Store a run that waits since, or until, so many seconds from now."""
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, priority,"
            " next_attempt_at, queued) VALUES ($1, $2, $3, 'default', 'manual', 'due', $4, $2, $5)",
            uuid4(),
            NOW + timedelta(seconds=seconds),
            uuid4(),
            priority,
            queued,
        )


async def counted(pool: Pool) -> Backlog:
    async with pool.acquire() as conn:
        return await backlog(conn, now_ms=MORNING_MS)


async def test_where_nothing_waits_all_is_zero(pool: Pool) -> None:
    await timer(pool, 5)
    await run(pool, 30)
    nothing = Waiting(0, 0, None)
    assert await counted(pool) == Backlog(
        timers=nothing, runs=nothing, background=nothing, never_ran=0
    )


async def test_timers_are_due_from_their_instant_and_overdue_ten_seconds_later(pool: Pool) -> None:
    for seconds in (1, 0, -9, -11, -60):
        await timer(pool, seconds)
    found = await counted(pool)
    assert found.timers == Waiting(4, 2, MORNING_MS - 60_000)


async def test_runs_of_every_priority_count_and_the_past_counts_apart(pool: Pool) -> None:
    for priority in (100, 0, -100):
        await run(pool, -20, priority=priority)
    await run(pool, -1)
    await run(pool, -3600, priority=-1000)
    await run(pool, -3600, queued=True)
    found = await counted(pool)
    assert found.runs == Waiting(4, 3, MORNING_MS - 20_000)
    assert found.background == Waiting(1, 1, MORNING_MS - 3_600_000)


async def test_a_job_that_is_due_for_minutes_and_never_ran_is_told(pool: Pool) -> None:
    await timer(pool, -301, runs_made=0)
    await timer(pool, -301, runs_made=3)
    await timer(pool, -60, runs_made=0)
    assert (await counted(pool)).never_ran == 1


async def test_each_statement_is_told_by_its_name_with_its_errors(dsn: str) -> None:
    told: list[tuple[str, bool]] = []

    def hear(name: str, _seconds: float, /, *, failed: bool) -> None:
        told.append((name, failed))

    conn = await asyncpg.connect(dsn, connection_class=watched(hear))
    try:
        await backlog(conn, now_ms=MORNING_MS)
        async with conn.transaction():
            pass
        with contextlib.suppress(asyncpg.DivisionByZeroError):
            await conn.execute("SELECT 1 / 0")
    finally:
        await conn.close()
    assert {("backlog_of_timers", False), ("transaction", False), ("other", True)} <= set(told)


def test_only_the_name_of_a_statement_is_kept_of_it() -> None:
    assert name_of("/* settle_runs */ UPDATE runs") == "settle_runs"
    assert name_of("COMMIT;") == "transaction"
    assert name_of("SELECT 'secret'") == "other"


async def test_what_waits_because_of_its_key_waits_for_no_slot(pool: Pool) -> None:
    await run(pool, -60)
    await run(pool, -60)
    async with pool.acquire() as conn:
        await conn.execute(
            "UPDATE runs SET concurrency_key = 'k'"
            " WHERE id = (SELECT min(id::text)::uuid FROM runs)"
        )
    assert (await counted(pool)).runs.due == 1
