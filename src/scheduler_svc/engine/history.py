"""The days of history: made ahead, and when they are over archived where asked, and dropped.

Promises that a day goes whole, and only when none of its runs is unfinished and no replay has yet
to read it. While a day that was taken off could not be archived, no further one is taken off, so
that all others can still be asked for.
"""

import asyncio
from pathlib import Path

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.retention import Kept
from scheduler_svc.engine.archive import archive_days
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import histories, partitions
from scheduler_svc.store.pool import Connection, connection, is_database_away

DAYS_SECONDS = 300.0
CALL_SECONDS = 30.0
PRUNE_REST_SECONDS = 0.2
DAY_MS = 86_400_000


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """How many days are made ahead, how long history is kept, and where it is archived.

    `usual` holds for jobs that ask for nothing, `longest_ms` bounds what is asked for.
    """

    ahead: int
    usual: Kept
    longest_ms: int
    archive: Path | None = None


async def days(parts: Parts, keeping: Keeping) -> None:
    """Make the coming days of history and let the old ones go; for ever."""
    while True:
        try:
            await keep_days(parts, keeping)
        except Exception as error:
            if not is_database_away(error):
                raise
        await asyncio.sleep(DAYS_SECONDS * (0.5 + parts.rand()))


async def keep_days(parts: Parts, keeping: Keeping) -> None:
    """One round of the above."""
    await make_days(parts, ahead=keeping.ahead)
    async with connection(parts.pool) as conn:
        longest = await longest_ms(conn, parts, keeping)
    oldest_ms = parts.clock.now_ms() - max(1, longest // DAY_MS) * DAY_MS
    dropped = await drop_days(parts, before_ms=oldest_ms, archive=keeping.archive)
    if dropped:
        parts.on_event(EventName.PARTITIONS_DROPPED, names=dropped)
    await prune_default(parts, before_ms=oldest_ms)


async def prune_default(parts: Parts, *, before_ms: int) -> None:
    """Delete what the default partition holds of days no longer kept, with a rest after each batch.

    It may hold a whole day: one that could not be made while it was young.
    """
    while True:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            gone = await partitions.prune_default(conn, before_ms=before_ms)
        if gone < partitions.PRUNE_BATCH:
            return
        await asyncio.sleep(PRUNE_REST_SECONDS)


async def longest_ms(conn: Connection, parts: Parts, keeping: Keeping) -> int:
    """Return the age at which a day may go: the greatest that anybody asks for, within the bound.

    A namespace whose settings this build can not read may ask for all of it.
    """
    shared = parts.namespaces.longest_retention_ms()
    if shared is None:
        return keeping.longest_ms
    asked = max(keeping.usual.age_ms, shared, await histories.longest_asked(conn))
    return min(asked, keeping.longest_ms)


async def make_days(parts: Parts, *, ahead: int) -> None:
    """Make the days from yesterday on; a replica does so before it claims anything."""
    today = instant_at(parts.clock.now_ms()).date()
    async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
        made = await partitions.ensure(conn, today=today, ahead=ahead)
    if made:
        parts.on_event(EventName.PARTITIONS_MADE, names=made)


async def drop_days(parts: Parts, *, before_ms: int, archive: Path | None) -> list[str]:
    """Take off the days before an instant and drop them, by way of a file where one is asked."""
    before = instant_at(before_ms).date()
    if archive is None:
        async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
            return await partitions.drop(conn, before=before)
    gone = await archive_days(parts, archive)
    while True:
        async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
            if await partitions.retired(conn):
                return gone  # one that could not be written, or that another replica is at
            if not await partitions.retire(conn, before=before, at_most=1):
                return gone
        gone += await archive_days(parts, archive)
