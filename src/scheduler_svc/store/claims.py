"""The second source of work: runs that are due already, and when the loop must look again."""

from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.runs import BACKGROUND_BELOW, Overrides, Trigger
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

RANK_MIN, RANK_MAX = -(2**15), 2**15 - 1
OVERRIDES = msgspec.json.Decoder(Overrides)


class ClaimedRun(msgspec.Struct, frozen=True, gc=False):
    """A run under this replica's lease; `attempt` is its fencing token."""

    id: UUID
    job_id: UUID
    scheduled_ms: int
    fire_ms: int
    trigger: Trigger
    attempt: int
    lost: int = 0
    started_at: datetime | None = None
    overrides: Overrides | None = None
    keyed: bool = False
    """It was granted under its key, and counts against the key's limits."""
    probe: bool = False
    """It is the one call that an open breaker lets through."""
    paced_ms: int | None = None
    """The instant that it was given in a minute of its namespace's quota."""
    background: bool = False
    """Taken in the share of the past."""


class NextInstants(msgspec.Struct, frozen=True):
    """The earliest timer and the earliest waiting run beyond an instant, in epoch milliseconds."""

    timer_ms: int | None
    run_ms: int | None
    pressed: bool = False
    """Some runs wait because of their key."""


async def claim_due_runs(
    conn: Connection,
    *,
    horizon_ms: int,
    batch: int,
    replica: UUID,
    now_ms: int,
    background: bool = False,
) -> list[ClaimedRun]:
    """Take retries, triggers and overflow due by the horizon under this lease.

    With `background` it takes instead what is caught up and backfilled.
    """
    ranks = (RANK_MIN, BACKGROUND_BELOW - 1) if background else (BACKGROUND_BELOW, RANK_MAX)
    rows = await conn.fetch(
        statement("claim_due_runs"),
        instant_at(horizon_ms),
        batch,
        replica,
        instant_at(now_ms),
        *ranks,
    )
    return [claimed(row, background=background) for row in rows]


async def what_waits(conn: Connection, *, horizon_ms: int) -> tuple[bool, bool]:
    """Tell whether runs are due by the horizon: those on time, and those of the past."""
    row = await conn.fetchrow(statement("what_waits"), instant_at(horizon_ms), BACKGROUND_BELOW)
    return (False, False) if row is None else (row["on_time"], row["of_the_past"])


def claimed(row: Record, *, keyed: bool = False, background: bool = False) -> ClaimedRun:
    """Make a claim of the row that a claiming statement returned."""
    paced = row.get("paced")
    return ClaimedRun(
        id=row["id"],
        job_id=row["job_id"],
        scheduled_ms=epoch_ms(row["scheduled_for"]),
        fire_ms=epoch_ms(row["next_attempt_at"]),
        trigger=row["trigger"],
        attempt=row["attempt_count"],
        lost=row["lost_count"],
        started_at=row["started_at"],
        overrides=None if row["overrides"] is None else OVERRIDES.decode(row["overrides"]),
        keyed=keyed,
        background=background,
        paced_ms=None if paced is None else epoch_ms(paced),
    )


async def next_instants(
    conn: Connection, *, after_ms: int, runs_after_ms: int | None = None
) -> NextInstants:
    """Tell when the next timer and the next waiting run come due after an instant, or each after
    one of its own.
    """
    runs_after_ms = after_ms if runs_after_ms is None else runs_after_ms
    row = await conn.fetchrow(
        statement("next_instants"), instant_at(after_ms), instant_at(runs_after_ms)
    )
    timer, run, pressed = row if row is not None else (None, None, False)
    return NextInstants(
        None if timer is None else epoch_ms(timer), None if run is None else epoch_ms(run), pressed
    )
