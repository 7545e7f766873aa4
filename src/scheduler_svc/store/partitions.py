"""Days of history: partitions of `runs` are made ahead, and taken off whole when they are over.

Names come from dates alone, so no text of a caller reaches these statements. Making or taking off
one needs a lock on the parent, for which every fire would have to wait: it is waited for as long as
LOCK_TIMEOUT, then let go, and tried again a little later. What has been taken off is a table by
itself, which nobody writes any more; dropping it is in nobody's way.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta

import asyncpg

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

PREFIX = "runs_p"
RETIRED = "runs_retired_"
LOCK_TIMEOUT = "15ms"
"""For each of at most three locks, so that no fire waits longer than 50 ms."""
ALONE_TIMEOUT = "1s"
ATTEMPTS = 12
PAUSE_SECONDS = 0.1
UPKEEP = (
    "autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500,"
    " autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 5000"
)
"""Each run leaves a dead row, and the fifth of a day that PostgreSQL waits for may be millions. But
a day that grows was analysed at every look of autovacuum, a quarter of what a fire cost there."""
UNCOUNTED = ("attempts", "overrides", "deferral", "completion_detail")
"""No plan asks what is in these, and analysing them takes a third of the time."""
PRUNE_BATCH = 1000
MOVED_MAX = 10_000
"""Moving more rows out of the default partition would hold up every fire for too long."""
PIECE_BYTES = 64 * 1024 * 1024
"""An index that is larger is deleted by itself."""
PIECE_SECONDS = 0.5


async def ensure(conn: Connection, *, today: date, ahead: int) -> list[str]:
    """Make the partitions from yesterday to `ahead` days from today; return those that are new.

    Where a lock is not to be had (a dump may hold one for hours) the day waits for the next round:
    the default partition takes its rows meanwhile. A day of which it took more than MOVED_MAX stays
    there.
    """
    have = set(await names(conn))
    made = []
    for day in (today + timedelta(days=n) for n in range(-1, ahead + 1)):
        if partition_name(day) in have:
            continue
        done = await _patiently(lambda day=day: _make(conn, day))  # type: ignore[misc]
        if done is None:
            break
        if done:
            made.append(partition_name(day))
    return made


async def retire(conn: Connection, *, before: date, at_most: int = 1000) -> list[str]:
    """Take off the days before this one that hold no unfinished run; return their names as days.

    A day that a running replay by filter has yet to read stays until that has read it.
    """
    taken: list[str] = []
    for name in await names(conn):
        if name >= partition_name(before) or len(taken) == at_most:
            break
        done = await _patiently(lambda name=name: _retire(conn, name))  # type: ignore[misc]
        if done is None:
            break
        if done:
            taken.append(name)
    return taken


async def retired(conn: Connection) -> list[str]:
    """Return the days that were taken off and are still there, oldest first, as days are named."""
    rows = await conn.fetch(statement("retired_days"), RETIRED)
    return [PREFIX + row["name"].removeprefix(RETIRED) for row in rows]


async def discard(conn: Connection, name: str) -> bool:
    """Drop a day that was taken off; False where another replica was quicker, or reads it.

    Its large indexes go first, one after the other with a pause: the disk deletes gigabytes in one
    piece otherwise, and every commit meanwhile waits for it.
    """
    gone = retired_name(name)
    with suppress(
        asyncpg.UndefinedTableError, asyncpg.UndefinedObjectError, asyncpg.LockNotAvailableError
    ):
        for row in await conn.fetch(statement("large_indexes"), gone, PIECE_BYTES):
            await _drop_piece(conn, row["command"])
            await asyncio.sleep(PIECE_SECONDS)
        await _drop_piece(conn, f"DROP TABLE {gone}")
        return True
    return False


async def _drop_piece(conn: Connection, command: str) -> None:
    async with conn.transaction():
        await conn.execute(f"SET LOCAL lock_timeout = '{ALONE_TIMEOUT}'")
        await conn.execute(command)


async def drop(conn: Connection, *, before: date) -> list[str]:
    """Take off the days before this one and drop what was taken off, now or earlier."""
    await retire(conn, before=before)
    return [name for name in await retired(conn) if await discard(conn, name)]


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


def retired_name(name: str) -> str:
    """Name the table that a day's partition is once it was taken off."""
    return RETIRED + name.removeprefix(PREFIX)


def day_of(name: str) -> date:
    """Read the day out of a partition's name."""
    return datetime.strptime(name.removeprefix(PREFIX), "%Y%m%d").replace(tzinfo=UTC).date()


def _bounds(day: date) -> tuple[datetime, datetime]:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return first, first + timedelta(days=1)


async def _patiently(step: Callable[[], Awaitable[bool]]) -> bool | None:
    """Make a step that needs locks; None where they were not to be had in a while."""
    for _ in range(ATTEMPTS):
        with suppress(asyncpg.LockNotAvailableError):
            return await step()
        await asyncio.sleep(PAUSE_SECONDS * random.random())  # noqa: S311
    return None


async def _make(conn: Connection, day: date) -> bool:
    """Make one day, moving over what the default partition already holds of it."""
    name = partition_name(day)
    first, until = (bound.isoformat() for bound in _bounds(day))
    async with _by_oneself(conn):
        if name in await names(conn):
            return False
        held = await conn.fetchval(statement("held_by_default"), *_bounds(day), MOVED_MAX + 1)
        if held > MOVED_MAX:
            return False
        # With its indexes, so that nothing is left to build under the locks.
        await conn.execute(
            f"CREATE TABLE {name} (LIKE runs INCLUDING DEFAULTS INCLUDING CONSTRAINTS"
            f" INCLUDING INDEXES) WITH ({UPKEEP})"
        )
        uncounted = ", ".join(f"ALTER {column} SET STATISTICS 0" for column in UNCOUNTED)
        await conn.execute(f"ALTER TABLE {name} {uncounted}")
        # Nothing may be written between the move and the attachment, nor settled while it moves;
        # and a row already on its way to the default partition would be refused there.
        await conn.execute(
            "LOCK TABLE ONLY runs IN SHARE ROW EXCLUSIVE MODE;"  # noqa: S608
            " LOCK TABLE runs_default IN ACCESS EXCLUSIVE MODE;"
            f" WITH moved AS (DELETE FROM runs_default WHERE scheduled_for >= '{first}'"
            f" AND scheduled_for < '{until}' RETURNING *)"
            f" INSERT INTO {name} SELECT * FROM moved;"
            f" ALTER TABLE runs ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{until}');"
            " COMMIT"
        )
    return True


async def _retire(conn: Connection, name: str) -> bool:
    """Take one day off, unless another replica was quicker or something of it is needed.

    DETACH ... CONCURRENTLY is not to be had where there is a default partition.
    """
    gone, needed = retired_name(name), _needed(name)
    async with _by_oneself(conn):
        if name not in await names(conn) or name in await retired(conn):
            return False
        if await conn.fetchval(f"SELECT {needed}"):  # a look that locks nobody out
            return False
        # The parent first, as detaching does itself; then nothing can be added any more.
        await conn.execute(
            f"""
            DO $$ BEGIN
                LOCK TABLE ONLY runs IN ACCESS EXCLUSIVE MODE;
                IF NOT ({needed}) THEN
                    ALTER TABLE runs DETACH PARTITION {name};
                    ALTER TABLE {name} RENAME TO {gone};
                END IF;
            END $$;
            COMMIT
            """
        )
        return name in await retired(conn)


@asynccontextmanager
async def _by_oneself(conn: Connection) -> AsyncIterator[None]:
    """Begin a transaction that only one replica is in, and end it where the step did not.

    A step sends all it does under locks of tables in one message, its COMMIT too: no lock waits for
    a round trip, nor for the disk, for what is lost in a crash is made again.
    """
    try:
        await conn.execute(
            "BEGIN; SET LOCAL synchronous_commit = off;"
            f" SET LOCAL lock_timeout = '{ALONE_TIMEOUT}';"
            " SELECT pg_advisory_xact_lock(hashtext('scheduler.partitions'));"
            f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
        )
        yield
    except Exception:
        with suppress(Exception):  # the first error says more
            await conn.execute("ROLLBACK")
        raise
    if conn.is_in_transaction():
        await conn.execute("ROLLBACK")


def _needed(name: str) -> str:
    """Ask whether a run of the day is unfinished, or a replay by filter has yet to read the day."""
    first, until = (bound.isoformat() for bound in _bounds(day_of(name)))
    return (
        f"EXISTS (SELECT 1 FROM {name} WHERE status IN ('due', 'running'))"  # noqa: S608
        f" OR EXISTS (SELECT 1 FROM replays WHERE status = 'running' AND after_at < '{until}'"
        f" AND coalesce((filter ->> 'until')::timestamptz, 'infinity') > '{first}')"
    )
