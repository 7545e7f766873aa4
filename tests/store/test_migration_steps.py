"""How a file is applied: short locks, indexes day by day, batches; each can be begun again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from scheduler_svc.store import migration_plan, migration_steps
from scheduler_svc.store.migrate import (
    ALONE,
    MigrationRefused,
    load,
    migrate,
    missing,
    shipped,
    standing,
)
from scheduler_svc.store.migration_files import BY_PARTITION, IN_BATCHES

FIRST = """
CREATE TABLE days (at integer NOT NULL, name text) PARTITION BY RANGE (at);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20);
CREATE TABLE days_default PARTITION OF days DEFAULT;
INSERT INTO days SELECT n, 'n' || n % 5 FROM generate_series(0, 29) AS n;
"""
INDEX = f"{BY_PARTITION}\n-- Serves nobody.\nCREATE INDEX days_name ON days (name) WHERE at > 3;"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(FIRST)
    return tmp_path


@pytest.fixture
async def conn(
    empty_database: str, folder: Path
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A session beside the runner, in a database that has the first file."""
    await migrate(empty_database, load(folder))
    opened = await asyncpg.connect(empty_database)
    yield opened
    await opened.close()


async def _valid(conn: "asyncpg.Connection[asyncpg.Record]") -> dict[str, bool]:
    rows = await conn.fetch(
        "SELECT indexrelid::regclass::text AS name, indisvalid FROM pg_index"
        " WHERE indexrelid::regclass::text LIKE 'days%name%'"
    )
    return {row["name"]: row["indisvalid"] for row in rows}


ALL = {"days_name": True, "days_1_name": True, "days_2_name": True, "days_default_name": True}


async def test_an_index_is_built_on_every_partition_and_on_those_that_come_later(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    (folder / "0002_index.sql").write_text(INDEX)
    assert await migrate(empty_database, load(folder)) == ["0002_index.sql"]
    assert await _valid(conn) == ALL
    await conn.execute("CREATE TABLE days_4 PARTITION OF days FOR VALUES FROM (30) TO (40)")
    assert (await _valid(conn))["days_4_name_idx"]


async def test_writers_are_not_kept_waiting_while_an_index_is_built(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """The build of one day waits for an older transaction; rows go in meanwhile."""
    (folder / "0002_index.sql").write_text(INDEX)
    old = await asyncpg.connect(empty_database)
    work = old.transaction()
    await work.start()
    await old.execute("INSERT INTO days_2 VALUES (12)")
    building = asyncio.create_task(migrate(empty_database, load(folder)))
    while not await conn.fetchval(  # noqa: ASYNC110 - another session's doing, seen by asking
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%days_2%'"
        " AND wait_event_type = 'Lock'"
    ):
        await asyncio.sleep(0.01)
    await conn.execute("SET lock_timeout = '1s'")
    await conn.execute("INSERT INTO days VALUES (1), (11), (21)")
    assert not building.done()
    await work.commit()
    await old.close()
    assert await building == ["0002_index.sql"]
    assert await _valid(conn) == ALL


async def test_a_build_that_was_killed_is_begun_again_where_it_was(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """One day is done, one is left invalid, one was not begun."""
    (folder / "0002_index.sql").write_text(INDEX)
    await conn.execute("CREATE INDEX days_name ON ONLY days (name) WHERE at > 3")
    await conn.execute("CREATE INDEX days_1_name ON days_1 (name) WHERE at > 3")
    await conn.execute("ALTER INDEX days_name ATTACH PARTITION days_1_name")
    await conn.execute("CREATE INDEX days_2_name ON days_2 (name) WHERE at > 3")
    await conn.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'days_2_name'::regclass"
    )
    assert not (await _valid(conn))["days_name"]
    assert await migrate(empty_database, load(folder)) == ["0002_index.sql"]
    assert await _valid(conn) == ALL


async def test_an_invalid_index_is_built_anew_and_not_taken_for_done(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    (folder / "0002_unique.sql").write_text(
        f"{ALONE}\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS days_1_name ON days_1 (name);"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(empty_database, load(folder))
    assert await _valid(conn) == {"days_1_name": False}
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(empty_database, load(folder))
    await conn.execute("DELETE FROM days WHERE at >= 5")
    assert await migrate(empty_database, load(folder)) == ["0002_unique.sql"]
    assert await _valid(conn) == {"days_1_name": True}


async def test_who_holds_a_table_for_long_makes_nobody_wait_behind_a_migration(
    empty_database: str,
    folder: Path,
    conn: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lets go again and again, and is done once the other is."""
    monkeypatch.setattr(migration_steps, "LOCK_PAUSE_SECONDS_MAX", 0.3)
    (folder / "0002_column.sql").write_text("ALTER TABLE days ADD COLUMN more text;")
    dump = await asyncpg.connect(empty_database)
    work = dump.transaction()
    await work.start()
    await dump.fetch("SELECT count(*) FROM days")
    migrating = asyncio.create_task(migrate(empty_database, load(folder)))
    await conn.execute("SET lock_timeout = '500ms'")  # five times what the migration waits
    for at in range(50):
        await conn.execute("INSERT INTO days VALUES ($1)", at)
        await asyncio.sleep(0.02)
    assert not migrating.done()
    await work.rollback()
    await dump.close()
    assert await migrating == ["0002_column.sql"]
    assert await conn.fetchval("SELECT count(more) + count(*) FROM days") == 80


async def test_a_lock_that_never_comes_ends_in_a_sentence(
    empty_database: str,
    folder: Path,
    conn: "asyncpg.Connection[asyncpg.Record]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migration_steps, "LOCK_PATIENCE_SECONDS", 0.0)
    (folder / "0002_column.sql").write_text("ALTER TABLE days ADD COLUMN more text;")
    async with conn.transaction():
        await conn.fetch("SELECT count(*) FROM days")
        with pytest.raises(MigrationRefused, match=r"0002_column\.sql did not get its locks"):
            await migrate(empty_database, load(folder))


async def test_a_statement_in_batches_is_repeated_until_it_finds_nothing(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await conn.execute("CREATE TABLE seen (at timestamptz DEFAULT now())")
    (folder / "0002_upper.sql").write_text(
        f"{IN_BATCHES}\nWITH few AS (SELECT at FROM days WHERE name LIKE 'n%' LIMIT 12),"
        " told AS (INSERT INTO seen DEFAULT VALUES)\n"
        "UPDATE days SET name = upper(name) FROM few WHERE days.at = few.at;"
    )
    assert await migrate(empty_database, load(folder)) == ["0002_upper.sql"]
    assert await conn.fetchval("SELECT count(*) FROM days WHERE name LIKE 'N%'") == 30
    rounds = await conn.fetchval("SELECT count(DISTINCT at) FROM seen")
    assert rounds == 4, "three batches, and one that found nothing, each in its own transaction"


@pytest.mark.parametrize(
    ("first_line", "sql"),
    [
        ("-- migrate: sometimes", "SELECT 1"),
        ("-- migrate: compatible from 3", "SELECT 1"),
        ("-- migrate: compatible from 0", "SELECT 1"),
    ],
)
def test_a_first_line_that_means_nothing_is_refused(
    folder: Path, first_line: str, sql: str
) -> None:
    (folder / "0002_odd.sql").write_text(f"{first_line}\n{sql}")
    with pytest.raises(MigrationRefused, match="which means nothing here"):
        load(folder)


async def test_by_partition_takes_one_index_and_nothing_else(
    empty_database: str, folder: Path
) -> None:
    for sql in ("SELECT 1;", "CREATE INDEX a ON days (name); SELECT 1;"):
        (folder / "0002_odd.sql").write_text(f"{BY_PARTITION}\n{sql}")
        with pytest.raises(MigrationRefused, match="must hold one CREATE INDEX"):
            await migrate(empty_database, load(folder))


async def test_builds_that_a_file_names_go_on_beside_it_and_older_ones_do_not(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Both are there while replicas are changed one by one; so the old one may also start anew."""
    (folder / "0002_more.sql").write_text("-- migrate: compatible from 1\nCREATE TABLE more ();")
    (folder / "0003_less.sql").write_text("-- migrate: compatible from 2\nDROP TABLE more;")
    three = load(folder)
    await migrate(empty_database, three[:2])
    assert (await standing(conn, three[:1])).fault is None
    assert await migrate(empty_database, three[:1]) == []
    await migrate(empty_database, three)
    assert (await standing(conn, three[:2])).fault is None
    assert await migrate(empty_database, three[:2]) == []
    fault = (await standing(conn, three[:1])).fault
    assert fault is not None
    assert "changed by 0003_less.sql, which builds need 2 migrations to go on beside" in fault
    with pytest.raises(MigrationRefused, match="newer than this build"):
        await migrate(empty_database, three[:1])


async def test_a_database_whose_ledger_is_of_an_older_build_is_read_and_gets_the_column(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await conn.execute("ALTER TABLE schema_migrations DROP COLUMN compatible_from")
    assert (await standing(conn, load(folder))).fault is None
    (folder / "0002_more.sql").write_text("-- migrate: compatible from 1\nCREATE TABLE more ();")
    assert await migrate(empty_database, load(folder)) == ["0002_more.sql"]
    assert await conn.fetchval("SELECT max(compatible_from) FROM schema_migrations") == 1


async def test_planning_changes_nothing_and_waits_for_nobody(
    empty_database: str, folder: Path, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    (folder / "0002_column.sql").write_text("ALTER TABLE days ADD COLUMN more text;")
    async with conn.transaction():
        await conn.execute("LOCK TABLE days IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(5):
            found = await missing(empty_database, load(folder))
    assert [one.name for one in found] == ["0002_column.sql"]
    assert [one.name for one in await missing(empty_database, load(folder))] == ["0002_column.sql"]


PLANNED = {
    "ALTER TABLE days ADD COLUMN more text": [("ACCESS EXCLUSIVE", "days")],
    "ALTER TABLE days VALIDATE CONSTRAINT c": [("SHARE UPDATE EXCLUSIVE", "days")],
    "ALTER TABLE days ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES jobs (id)": [
        ("SHARE ROW EXCLUSIVE", "jobs"),
        ("SHARE ROW EXCLUSIVE", "days"),
    ],
    "CREATE INDEX a ON days (name); -- ;": [("SHARE", "days")],
    "CREATE UNIQUE INDEX CONCURRENTLY a ON days (name)": [("SHARE UPDATE EXCLUSIVE", "days")],
    "CREATE TABLE x (t text DEFAULT ';'); CREATE INDEX a ON x (t); DROP INDEX a": [],
    "CREATE TABLE x (id uuid REFERENCES jobs (id))": [("SHARE ROW EXCLUSIVE", "jobs")],
    "CREATE TABLE d PARTITION OF days DEFAULT": [("ACCESS EXCLUSIVE", "days")],
    "DROP INDEX runs_due": [("ACCESS EXCLUSIVE", "runs_due")],
    "DROP INDEX CONCURRENTLY IF EXISTS runs_due": [("SHARE UPDATE EXCLUSIVE", "runs_due")],
    "UPDATE days SET name = 'a'": [("ROW EXCLUSIVE", "days")],
    "DO $$ BEGIN; PERFORM 1; END $$": [("ACCESS EXCLUSIVE", "what it touches")],
}


@pytest.mark.parametrize("sql", PLANNED)
def test_a_plan_says_which_locks_a_statement_takes(folder: Path, sql: str) -> None:
    (folder / "0002_one.sql").write_text(f"-- migrate: compatible from 1\n{sql};")
    (step,) = migration_plan.plan(load(folder)[1:])
    assert [(lock.mode, lock.name) for lock in step.locks] == PLANNED[sql]


def test_a_plan_knows_that_what_is_made_on_the_way_is_in_nobodys_way() -> None:
    steps = migration_plan.plan(shipped())
    assert len(steps) == len(shipped())
    assert [lock for step in steps for lock in step.locks if not lock.is_concurrent] == []
