"""Days that go by way of a file: whole, once, by one replica, after a kill, whatever disks do."""

import asyncio
import csv
import gzip
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import a_run, add_job, due_run, write
from rig import HOUR, Rig
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.retention import Kept
from scheduler_svc.engine import archive, archive_file
from scheduler_svc.engine.history import Keeping, keep_days
from scheduler_svc.store import partitions
from scheduler_svc.store.pool import Pool, connection, transaction

DAY = 24 * HOUR
RUNS = 8


@pytest.fixture(autouse=True)
async def no_days(engine_pool: Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Begin and end without a partition of any day; pages are small, and follow at once."""
    monkeypatch.setattr(archive, "PAGE_RUNS", 3)
    monkeypatch.setattr(archive, "PAUSE_SECONDS", 0.001)

    async def clear() -> None:
        async with connection(engine_pool) as conn:
            for name in await partitions.names(conn):
                await conn.execute(f"DROP TABLE {name}")
            for name in await partitions.retired(conn):
                await partitions.discard(conn, name)
            await conn.execute("DELETE FROM archives")

    await clear()
    yield
    await clear()


async def _history(rig: Rig, *ages: int) -> list[str]:
    """Make days so old, each with ended runs; return their names."""
    made = []
    for age in ages:
        day_ms = rig.clock.now_ms() // DAY * DAY - age * DAY
        async with transaction(rig.parts.pool) as conn:
            await partitions.ensure(conn, today=instant_at(day_ms).date(), ahead=-1)
            name = partitions.partition_name((instant_at(day_ms) - timedelta(days=1)).date())
            job = await add_job(conn)
            runs = [
                a_run(job, day_ms - DAY + n, status="skipped", reason="overlap", fire_ms=day_ms)
                for n in range(RUNS)
            ]
            await write(conn, job, *runs, replica=rig.parts.replica)
        made.append(name)
    return made


def _keeping(folder: Path) -> Keeping:
    return Keeping(ahead=0, usual=Kept(3 * DAY, None), longest_ms=3 * DAY, archive=folder)


async def _killed_in_the_middle(rig: Rig, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Have a replica write a page, and end."""
    with patch.context() as slow:
        slow.setattr(archive, "PAUSE_SECONDS", 3600.0)
        killed = asyncio.create_task(keep_days(rig.parts, _keeping(folder)))
        # The engine's doing, seen by asking.
        while not await rig.parts.pool.fetchval("SELECT runs FROM archives"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        killed.cancel()
        await asyncio.wait([killed])


async def _left(rig: Rig) -> tuple[list[str], list[str]]:
    """Return the days before yesterday that are there, and those that were taken off."""
    yesterday = partitions.partition_name(instant_at(rig.clock.now_ms() - DAY).date())
    async with connection(rig.parts.pool) as conn:
        names = await partitions.names(conn)
        return [name for name in names if name < yesterday], await partitions.retired(conn)


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def _told(rig: Rig, name: EventName) -> list[dict[str, Any]]:
    return [fields for event, fields in rig.events if event is name]


async def test_a_day_that_goes_is_whole_in_a_file_with_a_manifest(rig: Rig, tmp_path: Path) -> None:
    (name,) = await _history(rig, 10)
    before = await rig.parts.pool.fetch(f"SELECT * FROM {name} ORDER BY scheduled_for, id")
    await keep_days(rig.parts, _keeping(tmp_path))
    assert await _left(rig) == ([], [])
    day = f"{partitions.day_of(name):%Y-%m-%d}"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"runs-{day}.csv.gz",
        f"runs-{day}.json",
    ]
    rows = _rows(tmp_path / f"runs-{day}.csv.gz")
    assert [row["id"] for row in rows] == [str(row["id"]) for row in before]
    assert [row["reason"] for row in rows] == ["overlap"] * RUNS
    manifest = json.loads((tmp_path / f"runs-{day}.json").read_text())
    raw = (tmp_path / manifest["file"]).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(raw).hexdigest()
    assert (manifest["runs"], manifest["bytes"]) == (RUNS, len(raw))
    assert manifest["columns"] == list(rows[0])
    assert [told["runs"] for told in _told(rig, EventName.HISTORY_ARCHIVED)] == [RUNS]


async def test_a_file_is_read_back_into_a_table_as_the_page_says(rig: Rig, tmp_path: Path) -> None:
    (name,) = await _history(rig, 10)
    before = await rig.parts.pool.fetch(f"SELECT * FROM {name} ORDER BY scheduled_for, id")
    await keep_days(rig.parts, _keeping(tmp_path))
    (path,) = tmp_path.glob("*.csv.gz")
    async with transaction(rig.parts.pool) as conn:
        await conn.execute("CREATE TEMP TABLE read_back (LIKE runs) ON COMMIT DROP")
        await conn.copy_to_table(
            "read_back",
            source=io.BytesIO(gzip.decompress(path.read_bytes())),
            format="csv",
            header=True,
        )
        assert await conn.fetch("SELECT * FROM read_back ORDER BY scheduled_for, id") == before


async def test_a_replica_that_is_killed_costs_a_page_and_another_goes_on(
    rig: Rig, other: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = await _history(rig, 10)
    await _killed_in_the_middle(rig, tmp_path, monkeypatch)
    part = archive_file.part_of(tmp_path, partitions.day_of(name))
    with part.open("ab") as file:
        file.write(b"half a page that nobody noted")
    await keep_days(other.parts, _keeping(tmp_path))
    assert not list(tmp_path.glob("*.gz")), "the lease of the first still holds"
    await other.pass_time(2 * 60_000)
    await keep_days(other.parts, _keeping(tmp_path))
    (path,) = tmp_path.glob("*.gz")
    assert len({row["id"] for row in _rows(path)}) == len(_rows(path)) == RUNS
    assert not part.exists()
    assert await _left(other) == ([], [])


async def test_a_replica_of_another_host_begins_anew(
    rig: Rig, other: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    await _history(rig, 10)
    await _killed_in_the_middle(rig, tmp_path / "here", monkeypatch)
    await other.pass_time(2 * 60_000)
    await keep_days(other.parts, _keeping(tmp_path / "there"))
    (path,) = (tmp_path / "there").glob("*.gz")
    assert len(_rows(path)) == RUNS


async def test_two_replicas_at_once_make_one_file_a_day(
    rig: Rig, other: Rig, tmp_path: Path
) -> None:
    await _history(rig, 10, 20)
    async with asyncio.timeout(20):
        while await _left(rig) != ([], []):
            await asyncio.gather(
                keep_days(rig.parts, _keeping(tmp_path)), keep_days(other.parts, _keeping(tmp_path))
            )
    assert len(list(tmp_path.glob("*.gz"))) == 2
    both = _told(rig, EventName.HISTORY_ARCHIVED) + _told(other, EventName.HISTORY_ARCHIVED)
    assert [told["runs"] for told in both] == [RUNS, RUNS]


async def test_where_the_disk_fails_the_day_stays_and_no_other_is_taken_off(
    rig: Rig, tmp_path: Path
) -> None:
    days = await _history(rig, 20, 10)
    missing = tmp_path / "not there"
    for _ in range(2):
        await keep_days(rig.parts, _keeping(missing))
    assert await _left(rig) == (days[1:], days[:1])
    failed = _told(rig, EventName.ARCHIVE_FAILED)
    assert [told["name"] for told in failed] == days[:1] * 2
    assert "No such file or directory" in failed[0]["error"]
    missing.mkdir()
    await keep_days(rig.parts, _keeping(missing))
    assert await _left(rig) == ([], [])
    assert len(list(missing.glob("*.gz"))) == 2


async def test_what_is_not_read_back_as_it_was_written_keeps_the_day_and_is_written_anew(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = await _history(rig, 10)
    await _killed_in_the_middle(rig, tmp_path, monkeypatch)
    part = archive_file.part_of(tmp_path, partitions.day_of(name))
    size = part.stat().st_size
    other = gzip.compress(b"something else", mtime=0)
    name_of_it = b"n" * (size - len(other) - 1) + b"\0"  # RFC 1952, FNAME: a good file, as long
    part.write_bytes(other[:3] + b"\x08" + other[4:10] + name_of_it + other[10:])
    await keep_days(rig.parts, _keeping(tmp_path))
    assert await _left(rig) == ([], [name])
    assert len(_told(rig, EventName.ARCHIVE_FAILED)) == 1
    await keep_days(rig.parts, _keeping(tmp_path))
    (path,) = tmp_path.glob("*.gz")
    assert len(_rows(path)) == RUNS


async def test_a_file_that_is_there_is_never_written_over(rig: Rig, tmp_path: Path) -> None:
    """A database that was restored archives a day again."""
    (name,) = await _history(rig, 10)
    first = tmp_path / f"runs-{partitions.day_of(name):%Y-%m-%d}.csv.gz"
    first.write_bytes(b"of another life")
    await keep_days(rig.parts, _keeping(tmp_path))
    assert first.read_bytes() == b"of another life"
    assert len(_rows(first.with_name(first.name.replace(".csv", ".2.csv")))) == RUNS


async def test_an_empty_day_is_a_file_with_a_head(rig: Rig, tmp_path: Path) -> None:
    async with connection(rig.parts.pool) as conn:
        await partitions.ensure(
            conn, today=instant_at(rig.clock.now_ms() - 9 * DAY).date(), ahead=-1
        )
    await keep_days(rig.parts, _keeping(tmp_path))
    (path,) = tmp_path.glob("*.gz")
    assert gzip.decompress(path.read_bytes()).startswith(b"id,scheduled_for,job_id")
    assert _rows(path) == []


async def test_a_day_with_an_unfinished_run_is_neither_archived_nor_dropped(
    rig: Rig, tmp_path: Path
) -> None:
    (name,) = await _history(rig, 10)
    async with transaction(rig.parts.pool) as conn:
        job = await add_job(conn)
        day_ms = rig.clock.now_ms() // DAY * DAY - 11 * DAY
        await due_run(conn, job, due_ms=day_ms + HOUR)
    await keep_days(rig.parts, _keeping(tmp_path))
    assert await _left(rig) == ([name], [])
    assert list(tmp_path.iterdir()) == []
