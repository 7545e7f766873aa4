"""Days of history: made ahead, filled from the default partition, dropped when they are over."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from ledger import a_run, add_job, an_end, due_run, write
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import partitions, settlements
from scheduler_svc.store.pool import Connection, Pool, connection, transaction
from scheduler_svc.store.queries import statement

TODAY = date(2026, 1, 5)
NOON_MS = epoch_ms(datetime(2026, 1, 5, 12, tzinfo=UTC))
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
async def no_days(pool: Pool) -> AsyncIterator[None]:
    """Begin and end without a partition of any day."""

    async def clear() -> None:
        async with connection(pool) as conn:
            for name in await partitions.names(conn):
                await conn.execute(f"DROP TABLE {name}")

    await clear()
    yield
    await clear()


async def _where(pool: Pool) -> list[str]:
    rows = await pool.fetch("SELECT tableoid::regclass::text AS t FROM runs ORDER BY 1")
    return [row["t"] for row in rows]


async def test_days_are_made_from_yesterday_to_so_many_ahead(pool: Pool) -> None:
    async with connection(pool) as conn:
        made = await partitions.ensure(conn, today=TODAY, ahead=3)
        assert made == [
            "runs_p20260104",
            "runs_p20260105",
            "runs_p20260106",
            "runs_p20260107",
            "runs_p20260108",
        ]
        assert await partitions.ensure(conn, today=TODAY, ahead=3) == []
        assert await partitions.names(conn) == made


async def test_a_day_is_vacuumed_at_a_twentieth_and_analysed_at_a_half(pool: Pool) -> None:
    async with connection(pool) as conn:
        (*_, day) = await partitions.ensure(conn, today=TODAY, ahead=0)
        given = await conn.fetchval("SELECT reloptions FROM pg_class WHERE relname = $1", day)
        uncounted = await conn.fetch(
            "SELECT attname FROM pg_attribute"
            " WHERE attrelid = $1::text::regclass AND attstattarget = 0 AND attnum > 0",
            day,
        )
    assert set(given) == {
        "autovacuum_vacuum_scale_factor=0.05",
        "autovacuum_vacuum_threshold=500",
        "autovacuum_analyze_scale_factor=0.5",
        "autovacuum_analyze_threshold=5000",
    }
    assert {row["attname"] for row in uncounted} == {
        "attempts",
        "overrides",
        "deferral",
        "completion_detail",
    }


async def test_a_run_lies_in_the_partition_of_its_nominal_day(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=1)
    midnight = epoch_ms(datetime(2026, 1, 6, tzinfo=UTC))
    async with transaction(pool) as conn:
        job = await add_job(conn)
        for at_ms in (NOON_MS, midnight - 1, midnight, midnight + 9 * DAY_MS):
            await write(conn, job, a_run(job, at_ms), replica=uuid4())
    assert await _where(pool) == [
        "runs_default",
        "runs_p20260105",
        "runs_p20260105",
        "runs_p20260106",
    ]


async def test_what_the_default_partition_holds_of_a_new_day_moves_into_it(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        runs = [a_run(job, NOON_MS), a_run(job, NOON_MS + 30 * DAY_MS)]
        await write(conn, job, *runs, replica=uuid4())
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
    assert await _where(pool) == ["runs_default", "runs_p20260105"]
    async with transaction(pool) as conn:
        assert await settlements.settle(conn, [an_end(job, run) for run in runs]) == {
            run.id: "succeeded" for run in runs
        }


async def test_a_day_of_which_the_default_partition_holds_too_much_stays_there(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "MOVED_MAX", 2)
    async with transaction(pool) as conn:
        job = await add_job(conn)
        runs = [a_run(job, NOON_MS + n) for n in range(3)] + [a_run(job, NOON_MS + DAY_MS)]
        await write(conn, job, *runs, replica=uuid4())
    async with connection(pool) as conn:
        made = await partitions.ensure(conn, today=TODAY, ahead=1)
        assert made == ["runs_p20260104", "runs_p20260106"]
        assert await _where(pool) == ["runs_default"] * 3 + ["runs_p20260106"]
        await conn.execute("DELETE FROM runs WHERE id = $1", runs[0].id)
        assert await partitions.ensure(conn, today=TODAY, ahead=1) == ["runs_p20260105"]


async def test_an_attempt_that_ends_while_its_day_is_made_is_settled(pool: Pool) -> None:
    async with transaction(pool) as conn:
        job = await add_job(conn)
        run = a_run(job, NOON_MS)
        await write(conn, job, run, replica=uuid4())

    async def make() -> None:
        async with connection(pool) as conn:
            await partitions.ensure(conn, today=TODAY, ahead=0)

    async with transaction(pool) as settler:
        assert len(await settlements.settle(settler, [an_end(job, run)])) == 1
        making = asyncio.create_task(make())
        await asyncio.sleep(0.05)  # most likely it waits for us by now; right either way
    await asyncio.wait_for(making, 5)
    assert await pool.fetchval("SELECT status FROM runs") == "succeeded"


async def test_days_can_be_made_by_many_replicas_at_once(pool: Pool) -> None:
    async def make() -> list[str]:
        async with connection(pool) as conn:
            return await partitions.ensure(conn, today=TODAY, ahead=3)

    made = await asyncio.gather(*(make() for _ in range(4)))
    assert sorted(name for names in made for name in names) == [
        partitions.partition_name(TODAY + timedelta(days=n)) for n in range(-1, 4)
    ]


async def test_days_are_made_while_runs_are_written(pool: Pool) -> None:
    stop = asyncio.Event()

    async def writer() -> int:
        count = 0
        async with connection(pool) as conn:
            job = await add_job(conn)
            while not stop.is_set():
                await write(conn, job, a_run(job, NOON_MS + count), replica=uuid4())
                count += 1
        return count

    writing = [asyncio.create_task(writer()) for _ in range(3)]
    async with connection(pool) as conn:
        while await conn.fetchval("SELECT count(*) FROM runs") < 60:
            pass
        await partitions.ensure(conn, today=TODAY, ahead=2)
    stop.set()
    counts = await asyncio.gather(*writing)
    assert await pool.fetchval("SELECT count(*) FROM runs") == sum(counts)
    assert "runs_default" not in await _where(pool)


async def test_old_days_are_dropped_by_many_replicas_at_once(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=5)

    async def drop() -> list[str]:
        async with connection(pool) as conn:
            return await partitions.drop(conn, before=TODAY + timedelta(days=3))

    dropped = await asyncio.gather(*(drop() for _ in range(4)))
    assert sorted(name for names in dropped for name in names) == [
        partitions.partition_name(TODAY + timedelta(days=n)) for n in range(-1, 3)
    ]


async def test_a_day_with_an_unfinished_run_is_kept(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        job = await add_job(conn)
        await due_run(conn, job, due_ms=NOON_MS)
        dropped = await partitions.drop(conn, before=TODAY + timedelta(days=9))
        assert dropped == ["runs_p20260104"]


async def test_a_lock_that_is_not_to_be_had_leaves_the_day_to_the_next_round(
    pool: Pool,
) -> None:
    """A dump holds its locks for hours; nothing may fail for that, nor wait."""
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY - timedelta(days=5), ahead=0)
    async with transaction(pool) as dump, connection(pool) as conn:
        await dump.fetch("SELECT count(*) FROM runs")
        async with asyncio.timeout(10):
            assert await partitions.drop(conn, before=TODAY) == []
            assert await partitions.ensure(conn, today=TODAY, ahead=0) == []
    async with connection(pool) as conn:
        assert len(await partitions.drop(conn, before=TODAY - timedelta(days=2))) == 2
        assert len(await partitions.ensure(conn, today=TODAY, ahead=0)) == 2


async def test_large_indexes_of_a_day_go_before_it_one_by_one(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "PIECE_BYTES", 0)
    monkeypatch.setattr(partitions, "PIECE_SECONDS", 0)
    left = "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass($1)"
    async with connection(pool) as conn, connection(pool) as reader:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        (name,) = await partitions.retire(conn, before=TODAY)
        gone = partitions.retired_name(name)
        assert await conn.fetchval(left, gone) > 1
        # Whoever reads the day keeps all of it, and it goes at the next round.
        await reader.execute(f"BEGIN; SELECT count(*) FROM {gone}")
        assert not await partitions.discard(conn, name)
        await reader.execute("ROLLBACK")
        heard: list[int] = []
        pieces = partitions._drop_piece

        async def watched(on: Connection, command: str) -> None:
            await pieces(on, command)
            heard.append(await on.fetchval(left, gone))

        monkeypatch.setattr(partitions, "_drop_piece", watched)
        assert await partitions.discard(conn, name)
        assert heard == [*reversed(range(len(heard) - 1)), 0]
        assert len(heard) > 2
        assert await partitions.retired(conn) == []


async def test_the_default_partition_is_pruned_in_batches_and_keeps_the_unfinished(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "PRUNE_BATCH", 4)
    async with transaction(pool) as conn:
        job = await add_job(conn)
        old = [
            a_run(job, NOON_MS + n, status="skipped", reason="overlap", fire_ms=NOON_MS)
            for n in range(6)
        ]
        await write(conn, job, *old, replica=uuid4())
        await due_run(conn, job, due_ms=NOON_MS + 7)
    async with connection(pool) as conn:
        await conn.execute("SET enable_hashjoin = off; SET enable_mergejoin = off")
        assert await partitions.prune_default(conn, before_ms=NOON_MS + DAY_MS) == 4
        assert await partitions.prune_default(conn, before_ms=NOON_MS + DAY_MS) == 2
        assert await partitions.prune_default(conn, before_ms=NOON_MS + DAY_MS) == 0
        assert await conn.fetchval("SELECT count(*) FROM runs") == 1
        await conn.execute("RESET enable_hashjoin; RESET enable_mergejoin")


def indexes_of(node: dict[str, Any], alias: str) -> Iterator[str | None]:
    """Name the index by which each table of an alias is read: at once, or by a bitmap of it."""
    below = node.get("Plans", [])
    if node.get("Alias", "").startswith(alias):
        yield node.get("Index Name", below[0].get("Index Name") if below else None)
    else:
        for one in below:
            yield from indexes_of(one, alias)


async def test_what_waits_in_line_is_found_without_reading_what_is_unfinished(pool: Pool) -> None:
    async with transaction(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        await conn.execute("SET LOCAL enable_seqscan = off")  # as for all of the engine's, BY_KEY
        plan = await conn.fetchval(f"EXPLAIN (FORMAT JSON) {statement('stranded_jobs')}")
        theirs = await conn.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'runs_queued'::regclass"
        )
    used = list(indexes_of(json.loads(plan)[0]["Plan"], "r_"))
    assert Counter(used) == Counter(row[0] for row in theirs)
    assert len(used) == 3


async def test_a_day_that_a_running_replay_has_yet_to_read_is_kept_for_it(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=1)
        await conn.execute(
            "INSERT INTO replays (id, namespace, filter, max_per_minute, total, status, after_at,"
            " after_id, paced_at, created_at) VALUES ($1, 'default', $2, 1, 2, 'running', $3, $1,"
            " $3, $3)",
            uuid4(),
            '{"until": "2026-01-06T00:00:00Z"}',
            datetime(2026, 1, 5, 3, tzinfo=UTC),
        )
        later = TODAY + timedelta(days=9)
        assert await partitions.drop(conn, before=later) == ["runs_p20260104", "runs_p20260106"]
        await conn.execute("UPDATE replays SET after_at = '2026-01-06'")
        assert await partitions.drop(conn, before=later) == ["runs_p20260105"]


async def test_what_was_taken_off_and_not_dropped_is_found_by_the_next(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        later = TODAY + timedelta(days=9)
        taken = await partitions.retire(conn, before=later, at_most=1)
        assert await partitions.retired(conn) == taken == ["runs_p20260104"]
        assert await partitions.drop(conn, before=later) == ["runs_p20260104", "runs_p20260105"]
        assert await partitions.retired(conn) == []


async def test_a_fire_beside_a_long_reader_waits_for_no_day(pool: Pool) -> None:
    """A dump keeps the day; what is written meanwhile waits for a lock time-out at most."""
    slowest = 0.0
    loop = asyncio.get_running_loop()
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        job = await add_job(conn)
    async with transaction(pool) as dump:
        await dump.fetch("SELECT count(*) FROM runs")

        async def drop() -> list[str]:
            async with connection(pool) as conn:
                return await partitions.drop(conn, before=TODAY + timedelta(days=9))

        dropping = asyncio.create_task(drop())
        async with connection(pool) as conn:
            at_ms = NOON_MS
            while not dropping.done():
                begun = loop.time()
                await write(conn, job, a_run(job, at_ms), replica=uuid4())
                slowest, at_ms = max(slowest, loop.time() - begun), at_ms + 1
        assert await dropping == []
    assert at_ms - NOON_MS > 10
    assert slowest < 0.5, "a wait of one second for the lock would show here"


async def test_the_indexes_of_a_day_are_parts_of_those_of_all_runs(pool: Pool) -> None:
    async with connection(pool) as conn:
        await partitions.ensure(conn, today=TODAY, ahead=0)
        lone = await conn.fetch(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = $1::text::regclass"
            " AND indexrelid NOT IN (SELECT inhrelid FROM pg_inherits)",
            partitions.partition_name(TODAY),
        )
        assert lone == []
        count = "SELECT count(*) FROM pg_index WHERE indrelid = $1::text::regclass"
        assert await conn.fetchval(count, "runs") == await conn.fetchval(
            count, partitions.partition_name(TODAY)
        )
