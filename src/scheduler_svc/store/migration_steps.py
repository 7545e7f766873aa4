"""How one file is applied: at once, by itself, day by day, or in batches.

Promises that no statement waits long for a lock while others queue behind it: it gives up after
LOCK_TIMEOUT, lets them pass and tries again. What is not one transaction can be killed at any point
and begun again: each step looks first whether it was made.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, TypeAlias, TypeVar

import asyncpg

from scheduler_svc.store.migration_files import Migration, MigrationRefused
from scheduler_svc.store.queries import statement

# A string, for it is generic to the type checker only.
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
T = TypeVar("T")

LOCK_TIMEOUT_MS = 100
"""Who waits for a lock on a table makes all that come after it wait: so long at most."""
LOCK_PAUSE_SECONDS = 0.2
LOCK_PAUSE_SECONDS_MAX = 5.0
LOCK_PATIENCE_SECONDS = 300.0
BATCH_PAUSE_SECONDS = 0.05
ROUNDS_MAX = 5
INSERT = (
    "INSERT INTO schema_migrations (number, name, sha256, compatible_from) VALUES ($1, $2, $3, $4)"
)
_CONCURRENTLY = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[a-z0-9_]+)",
    re.IGNORECASE,
)
_INDEX = re.compile(
    r"^CREATE\s+INDEX\s+(?P<name>[a-z0-9_]+)\s+ON\s+(?P<table>[a-z0-9_]+)\s+(?P<what>.+?);?\s*$",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"--[^\n]*\n?")


class PartitionedIndex(NamedTuple):
    """An index of a partitioned table, taken apart: `what` is all that follows the table's name."""

    name: str
    table: str
    what: str

    def child(self, partition: str) -> str:
        """Name the index of one partition."""
        return f"{partition}_{self.name.removeprefix(f'{self.table}_')}"[:63]


async def apply(connection: Connection, one: Migration) -> None:
    """Apply one file and write its row: in one transaction, or as its last step."""
    row = (one.number, one.name, one.sha256, one.compatible_from)
    match one.mode:
        case "transaction":

            async def both() -> None:
                async with connection.transaction():
                    await connection.execute(one.sql)
                    await connection.execute(INSERT, *row)

            await with_patience(both, one.name)
            return
        case "no transaction":
            await _alone(connection, one.sql)
        case "by partition":
            await _by_partition(connection, partitioned_index(one), one.name)
        case "in batches":
            await _in_batches(connection, one)
    await connection.execute(INSERT, *row)


def partitioned_index(one: Migration) -> PartitionedIndex:
    """Read the one statement of a file that is applied by partition; raise MigrationRefused."""
    match = _INDEX.match(_COMMENT.sub("", one.sql).strip())
    if match is None or ";" in match["what"]:
        raise MigrationRefused(
            f"{one.name} is to be applied by partition: it must hold one CREATE INDEX name ON table"
        )
    return PartitionedIndex(match["name"], match["table"], match["what"])


async def with_patience(step: Callable[[], Awaitable[T]], name: str) -> T:
    """Make a step that needs locks, again and again while others hold them."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LOCK_PATIENCE_SECONDS
    pause = LOCK_PAUSE_SECONDS
    while True:
        try:
            return await step()
        except asyncpg.InsufficientPrivilegeError as error:
            raise MigrationRefused(
                f"{name} may not do what it must ({error}): migrate as the owner of the database,"
                " or GRANT CREATE ON DATABASE and ON SCHEMA public to this role"
            ) from error
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if loop.time() > end:
                raise MigrationRefused(
                    f"{name} did not get its locks within {LOCK_PATIENCE_SECONDS:.0f} s ({error}):"
                    " look in pg_stat_activity for a transaction that is open for long, and repeat"
                ) from error
        # Not in step with what is in the way, should that repeat too.
        await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
        pause = min(pause * 1.5, LOCK_PAUSE_SECONDS_MAX)


async def _alone(connection: Connection, sql: str) -> None:
    """Send one statement outside a transaction; an index that an earlier try left half is gone."""
    index = _CONCURRENTLY.search(sql)
    if index is not None:
        await _clear(connection, index["name"])
    await _unhurried(connection, sql)
    if index is not None and await _is_valid(connection, index["name"]) is False:
        raise MigrationRefused(f"the index {index['name']} was built and is not valid: repeat")


async def _by_partition(connection: Connection, index: PartitionedIndex, name: str) -> None:
    """Build an index on every partition without keeping anybody from writing, then join them.

    The parent's is there first, so that partitions made meanwhile bring theirs along.
    """
    await with_patience(
        lambda: connection.execute(
            f"CREATE INDEX IF NOT EXISTS {index.name} ON ONLY {index.table} {index.what}"
        ),
        name,
    )
    for _ in range(ROUNDS_MAX):
        for partition in await _without(connection, index):
            # A day that is dropped meanwhile needs no index.
            with suppress(asyncpg.UndefinedTableError):
                await _one_partition(connection, index, partition, name)
        if await _is_valid(connection, index.name):
            return
    raise MigrationRefused(f"{name}: partitions come faster than their indexes are built; repeat")


async def _one_partition(
    connection: Connection, index: PartitionedIndex, partition: str, name: str
) -> None:
    child = index.child(partition)
    await _clear(connection, child)
    await _unhurried(
        connection,
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {child} ON {partition} {index.what}",
    )
    await with_patience(
        lambda: connection.execute(f"ALTER INDEX {index.name} ATTACH PARTITION {child}"), name
    )


async def _in_batches(connection: Connection, one: Migration) -> None:
    """Repeat a statement, each time in a transaction of its own, until it changes nothing."""
    while True:
        done: str = await with_patience(lambda: connection.execute(one.sql), one.name)
        if done.rsplit(" ", 1)[-1] == "0":
            return
        await asyncio.sleep(BATCH_PAUSE_SECONDS)


async def _unhurried(connection: Connection, sql: str) -> None:
    """Send what may wait for long, because nobody waits behind it: a concurrent build."""
    await connection.execute("SET lock_timeout = 0")
    try:
        await connection.execute(sql)
    finally:
        await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")


async def _clear(connection: Connection, index: str) -> None:
    """Drop an index that a killed build left invalid: IF NOT EXISTS would take it for done."""
    if await _is_valid(connection, index) is False:
        await _unhurried(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {index}")


async def _is_valid(connection: Connection, index: str) -> bool | None:
    """Return whether an index is; None where there is none of this name."""
    valid: bool | None = await connection.fetchval(statement("index_is_valid"), index)
    return valid


async def _without(connection: Connection, index: PartitionedIndex) -> list[str]:
    rows = await connection.fetch(statement("partitions_without"), index.table, index.name)
    return [row["name"] for row in rows]
