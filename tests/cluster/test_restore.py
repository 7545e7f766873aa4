"""A backup that is two days old, restored as docs/backup.md says: nothing fires until told.

The jobs, the runs and the heartbeat were written by an engine whose clock stood two days back; the
backup is a real one, and so are the replicas that are started on it.
"""

import asyncio
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import pytest

from clock import HandClock
from commands import COMMAND
from fleet import database, replica
from receiver import receiving
from rig import HOUR, MINUTE, Rig, rigged
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import BY_KEY, Connection, close_pool, open_pool
from servers import a_server
from sink import Sinking, sinking

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
SIX_HOURLY, HOURLY = 4, 12
MISSED_HOURLY, MISSED_SIX_HOURLY = 48, 8
PARKED = "SELECT count(*) FROM job_timers WHERE fire_at IS NULL AND scheduled_for IS NOT NULL"
ASIDE = "SELECT count(*) FROM runs WHERE status = 'due' AND held"
LEFT = "SELECT (SELECT count(*) FROM holds) + (SELECT count(*) FROM runs WHERE finished_at IS NULL)"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        "DATABASE_URL" in os.environ, reason="it starts servers of its own, from the wheel"
    ),
]


class Backup(NamedTuple):
    """What was backed up: where, and the ids of the runs that were under way."""

    dsn: str
    folder: Path
    under_way: set[UUID]
    sink: Sinking


def typed(step: str, env: dict[str, str], folder: Path) -> str:
    """Run the commands of a step of the page, as they stand there."""
    (text,) = re.findall(rf"^ *```sh step={step}\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
    command = " ".join(COMMAND)
    script = re.sub(r"^ *scheduler-svc ", f"{command} ", text, flags=re.MULTILINE)
    path = f"{embedded._binaries()}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"PATH": path, "SCHEDULER_PROFILE": "development"} | env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with a_server(wal_level="replica", max_wal_senders="4") as dsn:
        yield dsn


@pytest.fixture(scope="module")
async def backup(server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backup]:
    """Live two days ago, until the moment of the backup; then take one."""
    dsn = urlunsplit(urlsplit(server)._replace(path="/scheduler"))
    await _on(server, "CREATE DATABASE scheduler")
    await migrate.migrate(dsn)
    now_ms = time.time_ns() // 1_000_000
    clock = HandClock(now_ms - 54 * HOUR - 5 * MINUTE)
    pool = await open_pool(dsn, application_name="two days ago", planner=BY_KEY)
    async with (
        sinking() as sink,
        receiving() as receiver,
        rigged(pool, receiver, clock=clock) as rig,
    ):
        under_way = await _lived(rig, clock, sink.url(), now_ms)
        folder = tmp_path_factory.mktemp("backup")
        typed("dump", {"DATABASE_URL": dsn}, folder)
        yield Backup(dsn, folder, under_way, sink)
    await close_pool(pool)


async def _lived(rig: Rig, clock: HandClock, url: str, now_ms: int) -> set[UUID]:
    """Leave jobs behind that are hourly, and others with a run that is being sent."""
    made: dict[str, Any] = {"overlap": "allow", "target": {"url": url}}
    for _ in range(SIX_HOURLY):
        await rig.job(schedule={"every": "6h"}, **made)
    clock.ms = now_ms - 48 * HOUR - 30 * MINUTE
    policies: list[dict[str, str]] = [
        {"policy": "once"},
        {"policy": "skip"},
        {"policy": "all", "max_lateness": "7d"},
    ]
    for number in range(HOURLY):
        await rig.job(schedule={"every": "1h"}, misfire=policies[number % 3], **made)
    clock.ms = now_ms - 48 * HOUR - 5 * MINUTE
    await rig.beat()
    await rig.tick()
    return {held.claim.id for held in rig.parts.hand}


async def _on(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn, timeout=10)
    await conn.execute(statement)
    await conn.close()


@asynccontextmanager
async def restored(backup: Backup) -> AsyncIterator[tuple[str, Connection]]:
    """Load the dump into a database of its own, as the page says."""
    await _on(backup.dsn, "DROP DATABASE IF EXISTS scheduler_restored WITH (FORCE)")
    dsn = urlunsplit(urlsplit(backup.dsn)._replace(path="/scheduler_restored"))
    typed("load", {"DATABASE_URL": backup.dsn, "RESTORED_URL": dsn}, backup.folder)
    async with database(dsn) as conn:
        yield dsn, conn


async def counts(conn: Connection, query: str, number: int, seconds: float = 30) -> None:
    """Wait until a count is this; rows that other processes write have no event."""
    found = None
    try:
        async with asyncio.timeout(seconds):
            while (found := await conn.fetchval(query)) != number:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{found} and not {number}: {query}") from None


async def calls(sink: Sinking, before: int) -> list[UUID]:
    return [call.run for call in (await sink.taken())[before:]]


async def nothing_fires(conn: Connection) -> None:
    """See every timer parked and every run put aside: the replicas have met all there is."""
    await counts(conn, PARKED, SIX_HOURLY + HOURLY)
    await counts(conn, ASIDE, SIX_HOURLY)


SENT = {
    # What was under way and its job's latest; each job's latest, or all of them, by its policy.
    "release": (2 * SIX_HOURLY + HOURLY // 3 * (1 + MISSED_HOURLY), True),
    "once": (2 * SIX_HOURLY + HOURLY, True),
    "skip": (0, False),
}


@pytest.mark.parametrize("missed", SENT)
async def test_a_dump_two_days_old_fires_nothing_until_told_and_then_what_it_was_told(
    backup: Backup, missed: str
) -> None:
    number, resent = SENT[missed]
    async with restored(backup) as (dsn, conn), AsyncExitStack() as replicas:
        for _ in range(2 if missed == "release" else 1):
            await replicas.enter_async_context(replica(dsn))
        before = len(await backup.sink.taken())
        await nothing_fires(conn)
        assert await calls(backup.sink, before) == []
        env = {"DATABASE_URL": dsn}
        shown = typed("list", env, backup.folder)
        assert "default: held since" in shown
        assert "(restored): 16 jobs overdue" in shown
        assert "4 runs not ended" in shown
        step = PAGE.count("--missed once --max-per-minute 600\n   ```")
        assert step == 1, "the page shows how to release"
        _release(dsn, missed, backup.folder)
        await counts(conn, LEFT, 0, seconds=60)
        sent = await calls(backup.sink, before)
        assert len(sent) == number
        assert len(set(sent)) == number
        assert backup.under_way <= set(sent) if resent else not backup.under_way & set(sent)
        await _each_is_accounted_for(conn, missed)


def _release(dsn: str, missed: str, folder: Path) -> None:
    if missed == "once":
        assert typed("release", {"DATABASE_URL": dsn}, folder) == "default: once\n"
        return
    command = [*COMMAND, "release", "--all", "--missed", missed]
    env = os.environ | {"DATABASE_URL": dsn, "SCHEDULER_PROFILE": "development"}
    subprocess.run(command, env=env, check=True, timeout=30)


async def _each_is_accounted_for(conn: Connection, missed: str) -> None:
    """Count the ledger: every occurrence since the backup is in it once, and how it says."""
    rows = await conn.fetch(
        """
        SELECT j.definition #>> '{schedule,every}' AS every, j.definition #>> '{misfire,policy}'
            AS policy, r.status, coalesce(r.reason, r.trigger) AS how, sum(r.occurrences) AS count
        FROM runs AS r JOIN jobs AS j ON j.id = r.job_id
        GROUP BY 1, 2, 3, 4
        """
    )
    found = {tuple(row)[:4]: row["count"] for row in rows}
    hourly = {
        policy: {key[2:]: count for key, count in found.items() if key[:2] == ("1h", policy)}
        for policy in ("once", "skip", "all")
    }
    jobs = HOURLY // 3
    all_of = jobs * MISSED_HOURLY
    one_each = {("skipped", "merged"): all_of - jobs, ("succeeded", "catch_up"): jobs}
    match missed:
        case "skip":
            expected = {policy: {("skipped", "held"): all_of} for policy in hourly}
        case "once":
            expected = dict.fromkeys(hourly, one_each)
        case _:
            expected = {
                "once": one_each,
                "skip": {("skipped", "misfire"): all_of},
                "all": {("succeeded", "catch_up"): all_of},
            }
    assert hourly == expected
    six = {key[2:]: count for key, count in found.items() if key[0] == "6h"}
    if missed == "skip":
        assert six == {
            ("skipped", "held"): SIX_HOURLY * MISSED_SIX_HOURLY,
            ("cancelled", "held"): SIX_HOURLY,
        }
    else:
        assert six == {
            ("skipped", "merged"): SIX_HOURLY * (MISSED_SIX_HOURLY - 1),
            ("succeeded", "catch_up"): SIX_HOURLY,
            ("succeeded", "schedule"): SIX_HOURLY,
        }


async def test_a_copy_of_the_cluster_two_days_old_fires_nothing_until_told(backup: Backup) -> None:
    """`pg_basebackup` copies every number: nothing but the gap tells."""
    folder = backup.folder / "cluster"
    folder.mkdir()
    typed("basebackup", {"DATABASE_URL": backup.dsn}, folder)
    with a_server(folder / "base") as copy:
        dsn = urlunsplit(urlsplit(copy)._replace(path="/scheduler"))
        async with database(dsn) as conn, replica(dsn) as first:
            before = len(await backup.sink.taken())
            await nothing_fires(conn)
            assert await calls(backup.sink, before) == []
            assert await conn.fetchval("SELECT reason FROM holds") == "outage"
            assert "namespaces.held" in first.program.output
            _release(dsn, "skip", folder)
            await counts(conn, LEFT, 0)
            assert await calls(backup.sink, before) == []
