"""What has come due and waits: counts for the metrics, read by index and bounded.

Promises to read no more than COUNTED_MAX rows of a kind; a count of that many means "or more".
"""

from datetime import timedelta

import asyncpg
import msgspec

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.runs import BACKGROUND_BELOW
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

COUNTED_MAX = 10_000
OVERDUE = timedelta(seconds=10)
NEVER_RAN = timedelta(minutes=5)


class Waiting(msgspec.Struct, frozen=True):
    """How many of a kind are due, how many of them for longer than OVERDUE, since when."""

    due: int = 0
    overdue: int = 0
    oldest_ms: int | None = None


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """Timers that nobody claimed, runs that wait for a slot, and those of the past."""

    timers: Waiting
    runs: Waiting
    background: Waiting
    never_ran: int
    """Jobs whose first occurrence came due NEVER_RAN ago and that have made no run."""


async def backlog(conn: Connection, *, now_ms: int) -> Backlog:
    """Count what waits at this instant."""
    now = instant_at(now_ms)
    timers = await conn.fetchrow(
        statement("backlog_of_timers"), now, now - OVERDUE, now - NEVER_RAN, COUNTED_MAX
    )
    rows = await conn.fetch(
        statement("backlog_of_runs"), now, now - OVERDUE, BACKGROUND_BELOW, COUNTED_MAX
    )
    runs = {row["background"]: _waiting(row) for row in rows}
    return Backlog(
        timers=_waiting(timers),
        runs=runs.get(False, Waiting()),
        background=runs.get(True, Waiting()),
        never_ran=0 if timers is None else timers["never_ran"],
    )


def _waiting(row: asyncpg.Record | None) -> Waiting:
    if row is None:
        return Waiting()
    oldest = row["oldest"]
    return Waiting(row["due"], row["overdue"], None if oldest is None else epoch_ms(oldest))
