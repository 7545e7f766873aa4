"""Brings a database to the schema of this build: numbered plain SQL files, each applied once.

Promises one transaction for each file, together with its row in `schema_migrations`, unless the
file says otherwise; one runner at a time, however many replicas start at once; refusal of edited
files, and of databases that a newer build has made unfit for this one.
Will not go back: a wrong step is mended by the next file.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

from scheduler_svc.store.hosts import Hosts
from scheduler_svc.store.migration_files import (
    ALONE,
    Migration,
    MigrationRefused,
    load,
    shipped,
)
from scheduler_svc.store.migration_steps import (
    LOCK_TIMEOUT_MS,
    Connection,
    apply,
    with_patience,
)

__all__ = [
    "ALONE",
    "LOCK_KEY",
    "Migration",
    "MigrationRefused",
    "Standing",
    "load",
    "migrate",
    "missing",
    "shipped",
    "standing",
    "status",
]

LOCK_KEY = 0x5C4ED01E
LOCK_POLL_SECONDS = 0.1
LOCK_WAIT_SECONDS = 300.0
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
# Younger than the table. Where it is null, nobody said who can go on beside that file.
_COLUMN = "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS compatible_from integer"


class Applied(NamedTuple):
    number: int
    name: str
    sha256: str
    applied_at: datetime
    compatible_from: int | None


class Standing(NamedTuple):
    """Where a database stands against this build; `fault` is None when the two can work."""

    database: int
    build: int
    fault: str | None


async def migrate(dsn: str, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing and answer the names; waits while another process does the same.

    Takes a direct address: session locks do not work through a transaction pooler.
    """
    wanted = shipped() if migrations is None else migrations
    async with _session(dsn) as connection, _only_one(connection):
        await _ledger(connection)
        applied = await _applied(connection)
        _refuse_misfit(wanted, applied)
        to_come = [one for one in wanted if one.number not in applied]
        for one in to_come:
            await apply(connection, one)
        return [one.name for one in to_come]


async def missing(dsn: str, migrations: list[Migration] | None = None) -> list[Migration]:
    """Return the files that would be applied, in order; changes nothing and takes no lock."""
    return [one for one, at in await status(dsn, migrations) if at is None]


async def status(
    dsn: str, migrations: list[Migration] | None = None
) -> list[tuple[Migration, datetime | None]]:
    """List each file with the instant it was applied, None for those still to come."""
    wanted = shipped() if migrations is None else migrations
    async with _session(dsn) as connection:
        applied = await _applied(connection)
    _refuse_misfit(wanted, applied)
    return [
        (one, applied[one.number].applied_at if one.number in applied else None) for one in wanted
    ]


async def standing(connection: Any, migrations: list[Migration] | None = None) -> Standing:
    """Compare one database with this build, for start-up and readiness; never changes anything.

    A database ahead of the build is no fault: in a rolling deploy the old replicas go on working
    while the new ones migrate. It is one where a file says that builds as old as this can not.
    """
    wanted = shipped() if migrations is None else migrations
    applied = await _applied(connection)
    names = [one.name for one in wanted if one.number not in applied]
    fault = f"not migrated: {', '.join(names)} missing; run migrate" if names else None
    if fault is None and (edited := _edited(wanted, applied)):
        fault = f"{edited} was edited after it was applied"
    if fault is None and (beyond := _unfit(wanted, applied)):
        fault = (
            f"changed by {beyond.name}, which builds need {beyond.compatible_from} migrations"
            f" to go on beside, and this one knows {len(wanted)}: use a newer build"
        )
    return Standing(max(applied, default=0), len(wanted), fault)


@asynccontextmanager
async def _session(dsn: str) -> AsyncIterator[Connection]:
    """Connect with no statement time-out: an index may take long to build; a lock may not.

    An index is built by one process, so that the other processors are there for what fires.
    """
    settings = {
        "application_name": "scheduler-svc migrate",
        "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
        "jit": "off",
    }
    connection = await Hosts(dsn).connect(
        timeout=10.0, statement_cache_size=0, server_settings=settings
    )
    try:
        # Not at start-up: a pooler refuses parameters there that it does not know.
        await connection.execute("SET max_parallel_maintenance_workers = 0")
        yield connection
    finally:
        await connection.close(timeout=5.0)


@asynccontextmanager
async def _only_one(connection: Connection) -> AsyncIterator[None]:
    """Hold the advisory lock; polled, as a blocked waiter deadlocks a concurrent index build."""
    try:
        async with asyncio.timeout(LOCK_WAIT_SECONDS):
            # Polled on purpose: there is nobody here who could set an event.
            while not await connection.fetchval(  # noqa: ASYNC110
                "SELECT pg_try_advisory_lock($1)", LOCK_KEY
            ):
                await asyncio.sleep(LOCK_POLL_SECONDS)
    except TimeoutError:
        raise MigrationRefused("another process has been migrating for too long") from None
    yield  # closing the session, in whatever way, gives the lock back


async def _ledger(connection: Connection) -> None:
    """Make the table of what was applied; where it is whole, no lock is taken."""
    await with_patience(lambda: connection.execute(_TABLE), "schema_migrations")
    columns = await connection.fetch("SELECT * FROM schema_migrations LIMIT 1")
    if not columns or "compatible_from" not in columns[0].keys():  # noqa: SIM118 - a Record
        await with_patience(lambda: connection.execute(_COLUMN), "schema_migrations")


async def _applied(connection: Any) -> Mapping[int, Applied]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    # The whole row as it is: in a database of an older build there is no compatible_from.
    rows = await connection.fetch("SELECT * FROM schema_migrations")
    return {
        row["number"]: Applied(
            row["number"],
            row["name"],
            row["sha256"],
            row["applied_at"],
            row.get("compatible_from"),
        )
        for row in rows
    }


def _refuse_misfit(wanted: list[Migration], applied: Mapping[int, Applied]) -> None:
    beyond = [applied[number] for number in sorted(applied) if number > len(wanted)]
    if _unfit(wanted, applied) or any(one.compatible_from is None for one in beyond):
        raise MigrationRefused(
            f"the database is at {beyond[-1].name}, newer than this build "
            f"(it knows {len(wanted)} migrations): use the newer build"
        )
    if edited := _edited(wanted, applied):
        raise MigrationRefused(
            f"{edited} was edited after it was applied: restore the file, add a new one instead"
        )


def _unfit(wanted: list[Migration], applied: Mapping[int, Applied]) -> Applied | None:
    """Return the file of a newer build that says that this one can not go on beside it."""
    found = [one for one in applied.values() if (one.compatible_from or 0) > len(wanted)]
    return max(found, key=lambda one: one.compatible_from or 0, default=None)


def _edited(wanted: list[Migration], applied: Mapping[int, Applied]) -> str | None:
    for one in wanted:
        if (done := applied.get(one.number)) and done.sha256 != one.sha256:
            return one.name
    return None
