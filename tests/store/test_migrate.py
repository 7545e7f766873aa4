"""The migrations runner: each file once, all or nothing, by one runner at a time."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from scheduler_svc.store.migrate import (
    ALONE,
    LOCK_KEY,
    MigrationRefused,
    load,
    migrate,
    shipped,
    standing,
    status,
)

FIRST = "CREATE TABLE first (id integer);"
SECOND = "ALTER TABLE first ADD COLUMN name text; CREATE TABLE second (id integer);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(FIRST)
    (tmp_path / "0002_second.sql").write_text(SECOND)
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


async def _tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'r'")
        return {row["relname"] for row in rows} & {"first", "second", "third"}
    finally:
        await connection.close()


async def test_files_are_applied_once_and_in_order(empty_database: str, folder: Path) -> None:
    assert await migrate(empty_database, load(folder)) == ["0001_first.sql", "0002_second.sql"]
    assert await migrate(empty_database, load(folder)) == []
    assert await _tables(empty_database) == {"first", "second"}


async def test_a_file_that_fails_leaves_nothing_of_itself(
    empty_database: str, folder: Path
) -> None:
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id integer); SELECT 1/0;")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_database, load(folder))
    assert await _tables(empty_database) == {"first", "second"}
    (folder / "0003_third.sql").write_text("CREATE TABLE third (id integer);")
    assert await migrate(empty_database, load(folder)) == ["0003_third.sql"]


async def test_a_file_and_its_row_are_one_step(empty_database: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text(
        "CREATE TABLE third (id integer); DROP TABLE schema_migrations;"
    )
    with pytest.raises(asyncpg.UndefinedTableError):
        await migrate(empty_database, load(folder))
    assert await _tables(empty_database) == {"first", "second"}
    assert len(await status(empty_database, load(folder))) == 3


async def test_an_edited_file_is_refused(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, load(folder))
    (folder / "0001_first.sql").write_text(FIRST + " -- edited")
    with pytest.raises(MigrationRefused, match=r"0001_first\.sql was edited after it was applied"):
        await migrate(empty_database, load(folder))


async def test_a_database_newer_than_the_build_is_refused(
    empty_database: str, folder: Path
) -> None:
    await migrate(empty_database, load(folder))
    with pytest.raises(MigrationRefused, match="newer than this build"):
        await migrate(empty_database, load(folder)[:1])


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("0004_gap.sql", "without a gap"),
        ("0002_again.sql", "without a gap"),
        ("3_short.sql", "is not named like"),
        ("0003-dash.sql", "is not named like"),
    ],
)
def test_a_folder_that_is_not_a_plain_sequence_is_refused(
    folder: Path, name: str, complaint: str
) -> None:
    (folder / name).write_text("SELECT 1")
    with pytest.raises(MigrationRefused, match=complaint):
        load(folder)


async def test_many_replicas_starting_at_once_apply_each_file_once(
    empty_database: str, folder: Path
) -> None:
    answers = await asyncio.gather(*(migrate(empty_database, load(folder)) for _ in range(8)))
    assert sorted(answers, key=len) == [[]] * 7 + [["0001_first.sql", "0002_second.sql"]]


async def test_a_concurrent_index_is_built_while_another_runner_waits(
    empty_database: str, folder: Path
) -> None:
    """A runner blocked on the advisory lock would hold the snapshot that the build waits for."""
    (folder / "0003_index.sql").write_text(
        f"{ALONE}\nCREATE INDEX CONCURRENTLY IF NOT EXISTS first_name ON first (name);"
    )
    async with asyncio.timeout(20):
        both = await asyncio.gather(*(migrate(empty_database, load(folder)) for _ in range(2)))
    assert sorted(len(applied) for applied in both) == [0, 3]


async def test_a_runner_waits_for_the_lock_and_then_goes_on(
    empty_database: str, folder: Path
) -> None:
    holder = await asyncpg.connect(empty_database)
    await holder.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    waiting = asyncio.create_task(migrate(empty_database, load(folder)))
    while not await holder.fetchval(  # noqa: ASYNC110 - another session's doing, seen by asking
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scheduler-svc migrate'"
        " AND query LIKE '%pg_try_advisory_lock%'"
    ):
        await asyncio.sleep(0.01)
    assert not waiting.done()
    await holder.close()
    assert len(await waiting) == 2


async def test_status_and_standing_tell_what_is_missing(empty_database: str, folder: Path) -> None:
    await migrate(empty_database, load(folder)[:1])
    listed = await status(empty_database, load(folder))
    assert [(one.name, at is not None) for one, at in listed] == [
        ("0001_first.sql", True),
        ("0002_second.sql", False),
    ]
    connection = await asyncpg.connect(empty_database)
    behind = await standing(connection, load(folder))
    even = await standing(connection, load(folder)[:1])
    ahead = await standing(connection, [])
    await connection.close()
    assert (behind.database, behind.build) == (1, 2)
    assert behind.fault is not None
    assert "0002_second.sql missing" in behind.fault
    assert even.fault is None
    assert ahead.fault is None, "an old replica goes on working during a rolling deploy"


async def test_an_empty_database_stands_at_nothing(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    found = await standing(connection)
    await connection.close()
    assert found.database == 0
    assert found.fault is not None


async def test_the_shipped_migrations_bring_an_empty_database_to_this_build(
    empty_database: str,
) -> None:
    assert await migrate(empty_database) == [one.name for one in shipped()]
    connection = await asyncpg.connect(empty_database)
    found = await standing(connection)
    await connection.close()
    assert found == (len(shipped()), len(shipped()), None)
