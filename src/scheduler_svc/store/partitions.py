"""Days of history: partitions of `runs` are made ahead and dropped whole.

Names come from dates alone, so no text of a caller reaches these statements. Making or dropping one
takes a lock on the parent: it waits at most LOCK_TIMEOUT and is tried again at the next round.
"""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import asyncpg

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

PREFIX = "runs_p"
LOCK_TIMEOUT = "1s"
PRUNE_BATCH = 1000


async def ensure(conn: Connection, *, today: date, ahead: int) -> list[str]:
    """Make the partitions from yesterday to `ahead` days from today; return those that are new.

    Where a lock is not to be had (a dump may hold one for hours) the day waits for the next round:
    the default partition takes its rows meanwhile.
    """
    have = set(await names(conn))
    wanted = [today + timedelta(days=n) for n in range(-1, ahead + 1)]
    made = []
    for day in wanted:
        if partition_name(day) in have:
            continue
        with suppress(asyncpg.LockNotAvailableError):
            if await _make(conn, day):
                made.append(partition_name(day))
    return made


async def drop(conn: Connection, *, before: date) -> list[str]:
    """Drop the partitions of days before this one that hold no unfinished run."""
    dropped = []
    for name in await names(conn):
        if name >= partition_name(before):
            continue
        with suppress(asyncpg.LockNotAvailableError):
            if await _drop(conn, name):
                dropped.append(name)
    return dropped


async def prune_default(conn: Connection, *, before_ms: int) -> int:
    """Delete a batch of what the default partition holds of days no longer kept."""
    done: str = await conn.execute(statement("prune_default"), instant_at(before_ms), PRUNE_BATCH)
    return int(done.rsplit(" ", 1)[-1])


async def names(conn: Connection) -> list[str]:
    """Return the names of the daily partitions, oldest first."""
    return [row[0] for row in await conn.fetch(statement("run_partitions"))]


def partition_name(day: date) -> str:
    """Name the partition of a day; names sort as days do."""
    return f"{PREFIX}{day:%Y%m%d}"


async def _make(conn: Connection, day: date) -> bool:
    """Make one day, moving over what the default partition already holds of it."""
    name = partition_name(day)
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    bounds = (first.isoformat(), (first + timedelta(days=1)).isoformat())
    async with conn.transaction():
        await _be_alone(conn)
        if name in await names(conn):
            return False
        # Nothing may be written between the move and the attachment, nor settled while it moves;
        # and a row already on its way to the default partition would be refused there.
        await conn.execute("LOCK TABLE ONLY runs IN SHARE ROW EXCLUSIVE MODE")
        await conn.execute("LOCK TABLE runs_default IN ACCESS EXCLUSIVE MODE")
        await conn.execute(
            f"CREATE TABLE {name} (LIKE runs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        await conn.execute(
            f"WITH moved AS (DELETE FROM runs_default WHERE scheduled_for >= '{bounds[0]}'"  # noqa: S608
            f" AND scheduled_for < '{bounds[1]}' RETURNING *)"
            f" INSERT INTO {name} SELECT * FROM moved"
        )
        await conn.execute(
            f"ALTER TABLE runs ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')"
        )
    return True


async def _drop(conn: Connection, name: str) -> bool:
    """Drop one day, unless another replica was quicker or something of it is unfinished."""
    async with conn.transaction():
        await _be_alone(conn)
        if name not in await names(conn):
            return False
        if await _unfinished(conn, name):  # a look that locks nobody out
            return False
        # The parent first, as dropping does itself; then nothing can be added any more.
        await conn.execute("LOCK TABLE ONLY runs IN ACCESS EXCLUSIVE MODE")
        if await _unfinished(conn, name):
            return False
        await conn.execute(f"DROP TABLE {name}")
    return True


async def _be_alone(conn: Connection) -> None:
    """Let only one replica do this at a time, and wait for nothing longer than LOCK_TIMEOUT."""
    await conn.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    await conn.execute("SELECT pg_advisory_xact_lock(hashtext('scheduler.partitions'))")


async def _unfinished(conn: Connection, name: str) -> bool:
    found: bool = await conn.fetchval(
        f"SELECT EXISTS (SELECT 1 FROM {name} WHERE status IN ('due', 'running'))"  # noqa: S608
    )
    return found
