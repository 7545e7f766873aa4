"""What the engine's statements cost: an index, one batch of rows, and buffers that do not grow.

Each is asked with and without statistics of the tables, with values known and with a generic plan.
`python -m bench.plans` asks the same of a database a hundred times the size.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from scheduler_svc.domain.backfills import STEP_RUNS
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import columns, migrate
from scheduler_svc.store.columns import numbers, words
from scheduler_svc.store.gathering import BATCH_MAX as GATHERED
from scheduler_svc.store.pool import BY_KEY, Connection, session_settings
from scheduler_svc.store.queries import statement
from seeding import BATCH, NOON, NOON_MS, REPLICA, Told, explained, seed, soon

JOBS = int(os.environ.get("PLANS_JOBS", "50000"))
RUNS = int(os.environ.get("PLANS_RUNS", "100000"))
BUFFERS_A_ROW = 30
"""A row that is moved costs a look by key in some indexes, and an entry in each of them."""
BUFFERS_A_LOOK = 4
"""Root, leaf and row, and one for what the index points to in vain."""
EDGE = BATCH // 2
OPEN_BACKFILLED = 32
KEYS = 50
PROBES_A_KEY = 40
"""Looks that find a key, its levels of priority, and the first of each, over all days."""

pytestmark = pytest.mark.timeout(60 if JOBS <= 50_000 else 3600)


@pytest.fixture(scope="module")
async def seeded(server_dsn: str) -> AsyncIterator[dict[str, str]]:
    """Two databases with the same rows: one with statistics, and one without."""
    name = f"scheduler_plans_{secrets.token_hex(4)}"
    made = {"without statistics": name, "with statistics": f"{name}_known"}
    dsns = {
        key: urlunsplit(urlsplit(server_dsn)._replace(path=f"/{one}")) for key, one in made.items()
    }
    await _on(server_dsn, f'CREATE DATABASE "{name}" TEMPLATE template0')
    await migrate.migrate(dsns["without statistics"])
    await _seed(dsns["without statistics"])
    await _on(server_dsn, f'CREATE DATABASE "{name}_known" TEMPLATE "{name}"')
    await _on(dsns["with statistics"], "VACUUM ANALYZE")
    yield dsns
    for one in made.values():
        await _on(server_dsn, f'DROP DATABASE "{one}" WITH (FORCE)')


async def _seed(dsn: str) -> None:
    async with _connected(dsn) as conn:
        await seed(conn, jobs=JOBS, runs=RUNS)
        for (table,) in await conn.fetch(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        ):
            await conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")


async def _on(dsn: str, sql: str) -> None:
    async with _connected(dsn) as conn:
        await conn.execute(sql)


@asynccontextmanager
async def _connected(dsn: str, **settings: str) -> AsyncIterator[Connection]:
    opened = await asyncpg.connect(dsn, timeout=10, server_settings=settings)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture(params=["with statistics", "without statistics"])
async def known(request: pytest.FixtureRequest, seeded: dict[str, str]) -> str:
    return seeded[request.param]


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def conn(
    request: pytest.FixtureRequest, known: str, server_dsn: str
) -> AsyncIterator[Connection]:
    """A connection as the engine opens it, to a copy: what a test leaves behind, taken back or not,
    is dead rows and entries that others would have to read.
    """
    parts = urlsplit(known)
    name = f"{parts.path.removeprefix('/')}_copy"
    await _on(server_dsn, f'CREATE DATABASE "{name}" TEMPLATE "{parts.path.removeprefix("/")}"')
    settings = session_settings(
        application_name="plans",
        statement_timeout_ms=0,
        lock_timeout_ms=0,
        idle_in_transaction_ms=0,
    )
    copy = urlunsplit(parts._replace(path=f"/{name}"))
    async with _connected(copy, **settings, **BY_KEY, plan_cache_mode=request.param) as opened:
        yield opened
    await _on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _cost(conn: Connection, name: str, *args: Any) -> Told:
    """Run a statement twice, the first time to warm the caches; print the second's figures."""
    await explained(conn, statement(name), args)
    told = await explained(conn, statement(name), args)
    print(f"{name:18} {told.read:6} rows {told.buffers:7} buffers {told.ms:8.2f} ms")
    assert told.whole == []
    return told


async def test_the_claim_reads_one_batch_of_timers(conn: Connection) -> None:
    scan = (soon(-(10**9)), UUID(int=0), soon(1000), BATCH)
    for name in ("lock_due_timers", "read_due_timers"):
        told = await _cost(conn, name, *scan)
        assert told.read <= BATCH + EDGE
        assert told.buffers <= BATCH * 4


async def test_looking_past_a_crowd_reads_what_it_is_told_to_and_locks_by_key(
    conn: Connection,
) -> None:
    await conn.execute(
        "UPDATE jobs SET namespace = 'other' WHERE id IN"
        " (SELECT job_id FROM job_timers WHERE fire_at <= $1 ORDER BY fire_at DESC LIMIT 5)",
        NOON,
    )
    after = (soon(-(10**9)), UUID(int=0), soon(1000))
    told = await _cost(conn, "look_past", *after, BATCH, ["default"])
    assert told.read <= 4 * BATCH
    assert told.buffers <= BATCH * 8
    told = await _cost(conn, "lock_listed_timers", await _due_jobs(conn), soon(1000))
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * 6
    for names in (1, 2):
        told = await _cost(conn, "has_others", names)
        assert told.buffers <= 3 * BUFFERS_A_LOOK * (names + 1)


async def test_reading_definitions_looks_each_up_by_key(conn: Connection) -> None:
    ids = await _due_jobs(conn)
    told = await _cost(conn, "load_definitions", ids)
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * 6


async def test_looking_for_unfinished_runs_reads_no_history(conn: Connection) -> None:
    ids = await _due_jobs(conn)
    told = await _cost(conn, "open_runs", ids)
    assert told.read <= BATCH * 6 + EDGE
    days = await conn.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'runs'::regclass"
    )
    # Up to PostgreSQL 16 each key is looked up in the small index of each day that is kept.
    assert told.buffers <= BATCH * days * BUFFERS_A_LOOK


async def test_looking_for_named_runs_looks_each_up_by_key(conn: Connection) -> None:
    ids = await _due_jobs(conn)
    told = await _cost(conn, "open_occurrences", ids, [NOON] * len(ids))
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * 6


async def test_writing_decisions_touches_the_batch(conn: Connection) -> None:
    ids = await _due_jobs(conn)
    n = len(ids)
    at = numbers(epoch_ms(soon(k)) for k in range(n))
    none = numbers([None] * n)
    told = await _cost(
        conn,
        "write_decisions",
        *(ids, at, at, numbers([1] * n)),
        *(ids, at, ids, words([None] * n), words(["default"] * n), words(["schedule"] * n)),
        *(words(["running"] * n), words([None] * n), numbers([1] * n), none),
        *(numbers([0] * n), at, numbers([0] * n), words([None] * n), words([None] * n)),
        REPLICA,
        NOON,
    )
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_writing_plain_claims_touches_the_batch(conn: Connection) -> None:
    ids = await _due_jobs(conn)
    n = len(ids)
    at = numbers(epoch_ms(soon(k)) for k in range(n))
    told = await _cost(
        conn,
        "write_plain",
        *(ids, [uuid4() for _ in ids], numbers([1] * n), "", NOON_MS, at, NOON_MS, at),
        *(0, "", "default", "", REPLICA, NOON),
    )
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_settling_looks_each_run_up_by_key(conn: Connection) -> None:
    held = await _held(conn)
    n = len(held)
    told = await _cost(
        conn,
        "settle_runs",
        *(columns.ids(r["id"] for r in held), numbers(epoch_ms(r["scheduled_for"]) for r in held)),
        *(numbers([1] * n), words(["succeeded"] * n), words([None] * n)),
        *(words(['{"number":1}'] * n), numbers([NOON_MS] * n), numbers([NOON_MS] * n)),
        *(numbers([None] * n), numbers([5] * n), numbers([5] * n)),
    )
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_settling_plain_ends_looks_each_run_up_by_key(conn: Connection) -> None:
    held = await _held(conn)
    n = len(held)
    told = await _cost(
        conn,
        "settle_plain",
        *([r["id"] for r in held], words(['{"number":1}'] * n), numbers([NOON_MS] * n)),
        *(numbers([NOON_MS] * n), NOON_MS, numbers(epoch_ms(r["scheduled_for"]) for r in held)),
    )
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_the_claim_of_waiting_runs_reads_one_batch(conn: Connection) -> None:
    for ranks in ((-100, 32767), (-32768, -101)):
        told = await _cost(conn, "claim_due_runs", soon(1000), BATCH, REPLICA, NOON, *ranks)
        assert told.read <= BATCH * 2 + EDGE
        assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_asking_whether_runs_wait_reads_one_of_each_priority(conn: Connection) -> None:
    told = await _cost(conn, "what_waits", soon(1000), -100)
    assert told.read <= 100
    assert told.buffers <= 600


async def test_looking_for_completed_jobs_to_delete_reads_no_others(conn: Connection) -> None:
    told = await _cost(conn, "lock_spent_jobs", BATCH)
    assert told.read <= EDGE
    assert told.buffers <= BATCH


async def test_asking_for_the_next_instants_reads_a_handful(conn: Connection) -> None:
    told = await _cost(conn, "next_instants", soon(1000), soon(1000))
    assert told.read <= 100
    assert told.buffers <= 600


async def test_counting_the_backlog_reads_what_is_due(conn: Connection) -> None:
    told = await _cost(conn, "backlog_of_timers", soon(), soon(-10_000), soon(-300_000), 100)
    assert told.read <= 100
    told = await _cost(conn, "backlog_of_runs", soon(), soon(-10_000), -100, 100)
    assert told.read <= 1000
    assert told.buffers <= 1500


async def test_giving_back_and_forgetting_look_each_run_up_by_key(conn: Connection) -> None:
    held = await _held(conn)
    keys = ([r["id"] for r in held], [r["scheduled_for"] for r in held], [1] * len(held))
    for name, more in (("release_runs", [REPLICA]), ("forget_runs", [REPLICA, soon(-(10**6))])):
        told = await _cost(conn, name, *keys, *more)
        assert told.read <= BATCH * 4 + EDGE
        assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_a_rescue_reads_one_batch(conn: Connection) -> None:
    work = conn.transaction()
    await work.start()
    await conn.execute(
        "INSERT INTO replicas VALUES ($1, 'h', 1, '0', '0', 'all', $2, $2, $2, 0, 1)",
        REPLICA,
        soon(-1),
    )
    told = await _cost(conn, "rescue_runs", NOON, BATCH)
    await work.rollback()
    assert told.read <= BATCH * 2 + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_the_upkeep_of_one_replica_reads_what_is_in_flight(conn: Connection) -> None:
    rows = await conn.fetch(
        "SELECT id, scheduled_for FROM runs WHERE replica = $1 AND status = 'running' LIMIT $2",
        REPLICA,
        BATCH,
    )
    assert rows
    ids, instants = [row[0] for row in rows], [row[1] for row in rows]
    told = await _cost(conn, "cancel_wanted", REPLICA, ids, instants)
    assert told.read <= len(rows)
    plan = await conn.fetch(f"EXPLAIN {statement('cancel_wanted')}", REPLICA, ids, instants)
    # An old transaction keeps an entry of each run in the index of what is in flight.
    assert "_replica_idx" not in " ".join(row[0] for row in plan)
    told = await _cost(conn, "my_runs", REPLICA, soon(1))
    assert told.read <= BATCH * 2


async def test_a_step_of_a_backfill_reads_what_is_unfinished_of_backfills_and_no_history(
    conn: Connection,
) -> None:
    work = conn.transaction()
    await work.start()
    one, job = await _backfills(conn)
    told = await _cost(conn, "lock_next_backfill", soon(10_000), [])
    assert told.read <= 2
    told = await _cost(conn, "open_backfill_runs", one)
    assert told.read <= OPEN_BACKFILLED
    assert told.buffers <= 600
    at = [soon(-(10**10) - k) for k in range(STEP_RUNS)]
    ids = [UUID(int=k) for k in range(STEP_RUNS)]
    runs = (ids, at, at, ["due"] * STEP_RUNS)
    told = await _cost(
        conn, "write_backfill_step", one, job, None, "default", -1000, *runs, NOON, NOON, NOON
    )
    assert told.read <= 2
    assert told.buffers <= STEP_RUNS * BUFFERS_A_ROW
    await work.rollback()


async def test_settling_callbacks_and_timing_them_out_look_each_run_up_by_key(
    conn: Connection,
) -> None:
    work = conn.transaction()
    await work.start()
    held = await _held(conn)
    n = len(held)
    keys = ([r["id"] for r in held], [r["scheduled_for"] for r in held])
    told = await _cost(
        conn,
        "settle_callbacks",
        *(*keys, [1] * n, ["running"] * n, [None] * n, ['{"number":1}'] * n, [NOON] * n),
        *([NOON] * n, [None] * n, [5] * n, [5] * n, [1000] * n, NOON),
    )
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2
    await conn.execute(
        "UPDATE runs SET replica = NULL, completion_until = $1 WHERE status = 'running'", NOON
    )
    told = await _cost(conn, "overdue_completions", NOON, BATCH)
    assert told.read <= BATCH * 2 + EDGE
    told = await _cost(conn, "expire_completions", *keys, NOON)
    assert told.read <= BATCH + EDGE
    assert told.buffers <= BATCH * BUFFERS_A_ROW * 2
    told = await _cost(conn, "ended_runs", *keys)
    assert told.read <= BATCH + EDGE
    await work.rollback()


async def test_what_alerts_remember_is_read_and_written_by_key(conn: Connection) -> None:
    work = conn.transaction()
    await work.start()
    ids = await _due_jobs(conn)
    n = len(ids)
    await conn.execute(
        "INSERT INTO job_incidents (job_id, watch_at)"
        " SELECT id, $1::timestamptz + row_number() OVER () * interval '1 s' FROM jobs",
        NOON,
    )
    told = await _cost(conn, "lock_memories", ids)
    assert told.read <= BATCH + EDGE
    told = await _cost(
        conn,
        "write_memories",
        *(ids, [1] * n, ["f"] * n, ["{1}"] * n, ["{late}"] * n, [NOON] * n, [NOON] * n),
        [NOON] * n,
    )
    assert told.read <= BATCH + EDGE
    told = await _cost(conn, "lock_watched", soon(10_000), 200)
    assert told.read <= 2 * 200
    told = await _cost(conn, "watched_timers", ids[:200])
    assert told.read <= 2 * 200
    told = await _cost(conn, "occurrences_sent", ids[:200], [NOON] * 200)
    assert told.read <= 200 + EDGE
    told = await _cost(conn, "started_since", ids[0], soon(-60_000))
    assert told.read <= EDGE
    await work.rollback()


async def test_a_step_of_a_replay_counts_what_is_unfinished_and_looks_runs_up_by_key(
    conn: Connection,
) -> None:
    work = conn.transaction()
    await work.start()
    held = (await _held(conn))[:STEP_RUNS]
    one = UUID(int=7)
    await conn.execute(
        "INSERT INTO replays (id, namespace, filter, max_per_minute, total, status, after_at,"
        " after_id, paced_at, created_at) VALUES ($1, 'default', '{}', 1, 1, 'running', $2, $1,"
        " $2, $2)",
        one,
        NOON,
    )
    told = await _cost(conn, "lock_next_replay", soon(10_000), [])
    assert told.read <= 2
    told = await _cost(conn, "open_replay_runs", one)
    assert told.read <= EDGE
    told = await _cost(
        conn,
        "write_replay_step",
        *(one, [UUID(int=k) for k in range(len(held))], [r["id"] for r in held]),
        *([r["scheduled_for"] for r in held], [NOON] * len(held), -1000, 0, NOON, one, NOON),
    )
    assert told.read <= 3 * STEP_RUNS
    assert told.buffers <= STEP_RUNS * BUFFERS_A_ROW
    await work.rollback()


async def test_the_runs_of_a_replay_are_found_by_an_index_of_the_failed_ones_or_of_the_job(
    seeded: dict[str, str],
) -> None:
    """A search, not a look-up: it is planned afresh and needs the statistics that a day has."""
    async with _connected(seeded["with statistics"], **BY_KEY) as conn, conn.transaction():
        await conn.execute(statement("plan_afresh"))
        job = await conn.fetchval("SELECT id FROM jobs LIMIT 1")
        bounds = ("default", "failed", soon(-(10**10)), UUID(int=0), soon(0), soon(0))
        for of_job in (None, job):
            told = await _cost(
                conn, "replay_candidates", *bounds, of_job, None, None, None, STEP_RUNS + 1
            )
            assert told.read <= 3 * STEP_RUNS


async def test_cancelling_and_reading_a_backfill_go_by_key(conn: Connection) -> None:
    work = conn.transaction()
    await work.start()
    one, job = await _backfills(conn)
    for name, args in (
        ("get_backfill", ("default", one)),
        ("cancel_backfill_runs", ([one], "cancelled", NOON)),
        ("cancel_backfills_of", ([job], "job_deleted", NOON)),
        ("list_job_backfills", ("default", soon(1), UUID(int=2**128 - 1), 51, None, job)),
    ):
        told = await _cost(conn, name, *args)
        assert told.read <= 2 * OPEN_BACKFILLED
        assert told.buffers <= 600 + OPEN_BACKFILLED * BUFFERS_A_ROW
    await work.rollback()


async def test_what_waits_because_of_its_key_is_found_and_claimed_by_key(conn: Connection) -> None:
    work = conn.transaction()
    await work.start()
    await _pressed(conn, keys=KEYS)
    told = await _cost(conn, "pressed_keys", "", "", KEYS)
    assert told.read <= KEYS * PROBES_A_KEY
    names = [f"k{n}" for n in range(KEYS)]
    spaces, ten = ["default"] * KEYS, [10] * KEYS
    for name in ("read_keys", "lock_keys", "running_of_keys"):
        told = await _cost(conn, name, spaces, names)
        assert told.read <= KEYS + 2 * BATCH
    when = [soon(1000)] * KEYS
    for ranks in ((-100, 32767), (-32768, -101)):
        told = await _cost(
            conn, "claim_pressed_runs", spaces, names, ten, when, *ranks, REPLICA, NOON
        )
        assert told.read <= KEYS * (10 * 3 + PROBES_A_KEY)
        assert told.buffers <= KEYS * 10 * BUFFERS_A_ROW * 3
    told = await _cost(conn, "note_breaker", "default", "k1", 10)
    assert told.read <= 10 * 3
    await work.rollback()


async def test_many_runs_that_wait_because_of_one_key_cost_the_other_sources_nothing(
    conn: Connection,
) -> None:
    alone = {}
    for name, args in (
        ("claim_due_runs", (soon(1000), BATCH, REPLICA, NOON, -100, 32767)),
        ("next_instants", (soon(1000), soon(1000))),
    ):
        alone[name] = await _cost(conn, name, *args)
    work = conn.transaction()
    await work.start()
    await _flood(conn)
    for name, args in (
        ("claim_due_runs", (soon(1000), BATCH, REPLICA, NOON, -100, 32767)),
        ("next_instants", (soon(1000), soon(1000))),
    ):
        told = await _cost(conn, name, *args)
        assert told.read <= alone[name].read + EDGE
        assert told.buffers <= alone[name].buffers + EDGE
    told = await _cost(
        conn,
        "claim_pressed_runs",
        *(["default"], ["flood"], [BATCH], [soon(1000)]),
        *(-100, 32767, REPLICA, NOON),
    )
    assert told.read <= BATCH * 2 + EDGE
    await work.rollback()


async def test_putting_runs_back_under_their_key_looks_each_up_by_key(conn: Connection) -> None:
    held = await _held(conn)
    n = len(held)
    keys = ([r["id"] for r in held], [r["scheduled_for"] for r in held], [1] * n)
    for name, more in (
        ("defer_runs", (["k"] * n, ["breaker"] * n, [1] * n, REPLICA, NOON)),
        ("end_deferred", (["deadline"] * n, REPLICA, NOON)),
        ("stamp_runs", (["k"] * n, REPLICA)),
        ("note_rates", ([NOON] * n,)),
        ("put_off_runs", ([NOON] * n, [None] * n, REPLICA)),
    ):
        told = await _cost(conn, name, *keys, *more)
        assert told.read <= BATCH * 2 + EDGE
        assert told.buffers <= BATCH * BUFFERS_A_ROW * 2


async def test_dead_entries_behind_the_mark_cost_nothing_while_an_old_snapshot_is_open(
    seeded: dict[str, str],
) -> None:
    """G10: a transaction left open for hours keeps vacuum from removing what was moved on."""
    dsn = seeded["with statistics"]
    async with _connected(dsn) as old, _connected(dsn, **BY_KEY) as conn:
        snapshot = old.transaction(isolation="repeatable_read")
        await snapshot.start()
        await old.fetchval("SELECT count(*) FROM replicas")
        for _ in range(10):
            await conn.execute(
                "UPDATE job_timers SET fire_at = fire_at + interval '1 ms' WHERE fire_at < $1",
                NOON,
            )
        scans = {
            name: await explained(
                conn, statement("lock_due_timers"), (start, UUID(int=0), soon(1000), BATCH)
            )
            for name, start in (("whole", soon(-(10**9))), ("marked", soon(-1000)))
        }
        await snapshot.rollback()
    assert scans["marked"].buffers * 3 < scans["whole"].buffers


async def test_explaining_an_instant_and_looking_for_a_herd_read_what_they_name(
    conn: Connection,
) -> None:
    (job, *_) = await _due_jobs(conn)
    told = await _cost(conn, "runs_at", job, NOON)
    assert told.read <= 1
    told = await _cost(conn, "covering_run", job, NOON)
    assert told.read <= 1
    assert told.buffers <= 200
    span = soon(-(10**9)), soon(10**9)
    told = await _cost(conn, "count_timers_between", *span, 100, job, "default", 1000)
    assert told.read <= 2 * 101
    told = await _cost(conn, "count_timers_between", *span, 100, job, "another", 1000)
    assert told.read <= 2 * 1001


async def test_jobs_asked_for_at_once_are_looked_up_by_key(conn: Connection) -> None:
    """As the API asks, whose sessions may read tables whole."""
    for setting in BY_KEY:
        await conn.execute(f"SET {setting} = on")
    ids = (await _due_jobs(conn))[:GATHERED]
    days = await conn.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'runs'::regclass"
    )
    told = await _cost(conn, "get_jobs_asked", ["default"] * len(ids), ids)
    assert told.read <= len(ids) * (2 + days)
    assert told.buffers <= len(ids) * BUFFERS_A_LOOK * (2 + days)


async def test_the_drift_guard_reads_its_pages_by_key(conn: Connection) -> None:
    work = conn.transaction()
    await work.start()
    await conn.execute(
        "INSERT INTO job_expectations SELECT job_id, 'old', ARRAY[fire_at], fire_at FROM job_timers"
    )
    for name, args in (
        ("expectations_under", ("old", UUID(int=0), BATCH)),
        ("stale_expectations", (soon(), BATCH)),
        ("other_versions", ("new",)),
    ):
        told = await _cost(conn, name, *args)
        assert told.read <= 3 * BATCH
    await work.rollback()


async def _due_jobs(conn: Connection) -> list[UUID]:
    rows = await conn.fetch(
        "SELECT job_id FROM job_timers WHERE fire_at <= $1 ORDER BY fire_at LIMIT $2", NOON, BATCH
    )
    assert len(rows) == BATCH
    return [row["job_id"] for row in rows]


async def _backfills(conn: Connection) -> tuple[UUID, UUID]:
    """Write a thousand backfills, one in ten running, with a few unfinished runs of the first."""
    rows = await conn.fetch(
        """
        INSERT INTO backfills
        SELECT gen_random_uuid(), id, 'default', $1::timestamptz - interval '1 day', $1, '{}', $1,
            'allow', 60, 24, 24, CASE WHEN n % 10 = 0 THEN 'running' ELSE 'completed' END, NULL,
            $1, $1, $1::timestamptz - n * interval '1 s', CASE WHEN n % 10 > 0 THEN $1 END
        FROM (SELECT id, row_number() OVER () AS n FROM jobs LIMIT 1000) AS few
        RETURNING id, job_id, status
        """,
        NOON,
    )
    one = next(row for row in rows if row["status"] == "running")
    await conn.execute(
        """
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, priority,
            next_attempt_at, backfill_id)
        SELECT gen_random_uuid(), $1::timestamptz - n * interval '1 hour', $2, 'default',
            'backfill', 'due', -1000, $1, $3
        FROM generate_series(1, $4::integer) AS n
        """,
        NOON,
        one["job_id"],
        one["id"],
        OPEN_BACKFILLED,
    )
    return one["id"], one["job_id"]


async def _pressed(conn: Connection, *, keys: int) -> None:
    """Let what waits wait because of keys, two levels of priority each and one of the past."""
    await conn.execute(
        """
        WITH waiting AS (
            SELECT id, scheduled_for, row_number() OVER () AS n FROM runs WHERE status = 'due'
        )
        UPDATE runs AS r
        SET concurrency_key = 'k' || waiting.n % $1::integer,
            priority = CASE waiting.n / $1::integer % 3 WHEN 0 THEN 5 WHEN 1 THEN 0 ELSE -1000 END
        FROM waiting WHERE r.id = waiting.id AND r.scheduled_for = waiting.scheduled_for
        """,
        keys,
    )
    await conn.execute(
        "INSERT INTO concurrency_keys (namespace, key, configured, max_parallel)"
        " SELECT 'default', 'k' || n, true, 1 FROM generate_series(0, $1::integer - 1) AS n",
        keys,
    )


async def _flood(conn: Connection) -> None:
    """Let twenty batches wait because of one key, higher in priority than all that is there."""
    await conn.execute(
        """
        INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, priority,
            next_attempt_at, concurrency_key)
        SELECT gen_random_uuid(), $1::timestamptz - n * interval '1 ms', gen_random_uuid(),
            'default', 'schedule', 'due', 100, $1, 'flood'
        FROM generate_series(1, $2::integer) AS n
        """,
        NOON,
        BATCH * 20,
    )


async def _held(conn: Connection) -> list[asyncpg.Record]:
    rows = await conn.fetch(
        "SELECT id, scheduled_for FROM runs WHERE replica = $1 AND status = 'running' LIMIT $2",
        REPLICA,
        BATCH,
    )
    assert len(rows) == BATCH
    return list(rows)
