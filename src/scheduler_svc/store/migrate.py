"""Brings a database to the schema of this build: numbered plain SQL files, each applied once.

Promises one transaction for each file, together with its row in `schema_migrations`; one runner at
a time, however many replicas start at once; refusal of edited files and of databases newer than
the build.
Will not go back: a wrong step is mended by the next file.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import asyncpg

# A string, for it is generic to the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# First line of a file whose one statement PostgreSQL refuses inside a transaction, such as
# CREATE INDEX CONCURRENTLY. It must be harmless when run again: it and its row are two steps.
ALONE = "-- migrate: no transaction"
LOCK_KEY = 0x5C4ED01E
LOCK_POLL_SECONDS = 0.1
LOCK_WAIT_SECONDS = 300.0
_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
_INSERT = "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)"


class MigrationRefused(Exception):
    """The files and the database do not fit; the text says which and what to do."""


class Migration(NamedTuple):
    number: int
    name: str
    sql: str
    sha256: str

    @property
    def alone(self) -> bool:
        return self.sql.startswith(ALONE)


class Applied(NamedTuple):
    number: int
    name: str
    sha256: str
    applied_at: datetime


class Standing(NamedTuple):
    """Where a database stands against this build; `fault` is None when the two can work."""

    database: int
    build: int
    fault: str | None


def shipped() -> list[Migration]:
    """Read the files of the wheel or, in an editable install, of the checkout."""
    package = files("scheduler_svc")
    inside = package / "migrations"
    return load(inside if inside.is_dir() else Path(str(package)).parents[1] / "migrations")


def load(folder: Traversable) -> list[Migration]:
    """Read a folder in order; raises MigrationRefused for a gap, a double or a stray name."""
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        if (match := _NAME.match(file.name)) is None:
            raise MigrationRefused(f"{file.name} is not named like 0001_what_it_does.sql")
        raw = file.read_bytes()
        found.append(
            Migration(
                int(match["number"]), file.name, raw.decode(), hashlib.sha256(raw).hexdigest()
            )
        )
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise MigrationRefused(f"numbers must run from 1 without a gap: {[m.name for m in found]}")
    return found


async def migrate(dsn: str, migrations: list[Migration] | None = None) -> list[str]:
    """Apply what is missing and answer the names; waits while another process does the same.

    Takes a direct address: session locks do not work through a transaction pooler.
    """
    wanted = shipped() if migrations is None else migrations
    async with _session(dsn) as connection, _only_one(connection):
        await connection.execute(_TABLE)
        applied = await _applied(connection)
        _refuse_misfit(wanted, applied)
        missing = [one for one in wanted if one.number not in applied]
        for one in missing:
            await _apply(connection, one)
        return [one.name for one in missing]


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

    A database ahead of the build is no fault here: in a rolling deploy the old replicas go on
    working while the new ones migrate, and migrations are written so that they can.
    """
    wanted = shipped() if migrations is None else migrations
    applied = await _applied(connection)
    missing = [one.name for one in wanted if one.number not in applied]
    fault = f"not migrated: {', '.join(missing)} missing; run migrate" if missing else None
    if fault is None and (edited := _edited(wanted, applied)):
        fault = f"{edited} was edited after it was applied"
    return Standing(max(applied, default=0), len(wanted), fault)


@asynccontextmanager
async def _session(dsn: str) -> AsyncIterator[Connection]:
    """Connect with no statement time-out: an index may take long to build; a lock may not."""
    settings = {"application_name": "scheduler-svc migrate", "lock_timeout": "10s", "jit": "off"}
    connection = await asyncpg.connect(
        dsn, timeout=10.0, statement_cache_size=0, server_settings=settings
    )
    try:
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


async def _applied(connection: Any) -> Mapping[int, Applied]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    rows = await connection.fetch("SELECT number, name, sha256, applied_at FROM schema_migrations")
    return {row["number"]: Applied(*row) for row in rows}


def _refuse_misfit(wanted: list[Migration], applied: Mapping[int, Applied]) -> None:
    newest = max(applied, default=0)
    if newest > len(wanted):
        raise MigrationRefused(
            f"the database is at {applied[newest].name}, newer than this build "
            f"(it knows {len(wanted)} migrations): use the newer build"
        )
    if edited := _edited(wanted, applied):
        raise MigrationRefused(
            f"{edited} was edited after it was applied: restore the file, add a new one instead"
        )


def _edited(wanted: list[Migration], applied: Mapping[int, Applied]) -> str | None:
    for one in wanted:
        if (done := applied.get(one.number)) and done.sha256 != one.sha256:
            return one.name
    return None


async def _apply(connection: Connection, one: Migration) -> None:
    row = (one.number, one.name, one.sha256)
    if one.alone:
        await connection.execute(one.sql)
        await connection.execute(_INSERT, *row)
        return
    async with connection.transaction():
        await connection.execute(one.sql)
        await connection.execute(_INSERT, *row)
