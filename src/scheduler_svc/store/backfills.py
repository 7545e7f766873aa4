"""Backfills in the store: one typed function a statement, on the caller's transaction.

A backfill's row is locked before its runs are written. A step writes its runs and the cursor in one
statement, so that a replica that dies in between leaves nothing half done.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.backfills import (
    Backfill,
    BackfillStatus,
    Step,
)
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.runs import rank
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store.job_lists import ID_LAST, LAST
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

SCHEDULE = msgspec.json.Decoder(Schedule)
PRUNE_BATCH = 1000


class BackfillFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which backfills."""

    namespace: str
    job_id: UUID | None = None
    status: BackfillStatus | None = None


class BackfillPlace(msgspec.Struct, frozen=True):
    """A row of the list: when it was created, in epoch milliseconds, and its id."""

    created_ms: int
    id: UUID


class SentJob(msgspec.Struct, frozen=True):
    """What the runs of a backfill carry of their job."""

    name: str | None
    priority: int


class OpenCount(msgspec.Struct, frozen=True):
    """Unfinished runs: of one backfill, and of all."""

    own: int
    everyone: int


async def insert_backfill(conn: Connection, backfill: Backfill) -> None:
    """Write a new backfill; the caller holds the job's timer."""
    await conn.execute(
        statement("insert_backfill"),
        backfill.id,
        backfill.job_id,
        backfill.namespace,
        backfill.range_from,
        backfill.range_to,
        msgspec.json.encode(backfill.schedule).decode(),
        backfill.anchored_at,
        backfill.overlap,
        backfill.max_per_minute,
        backfill.total,
        backfill.status,
        instant_at(backfill.next_from_ms),
        instant_at(backfill.paced_ms),
        backfill.created_at,
        backfill.finished_at,
    )


async def get_backfill(conn: Connection, namespace: str, backfill_id: UUID) -> Backfill | None:
    """Read one backfill with its progress."""
    row = await conn.fetchrow(statement("get_backfill"), namespace, backfill_id)
    return None if row is None else _backfill_of(row)


async def lock_backfill(
    conn: Connection, namespace: str, backfill_id: UUID
) -> BackfillStatus | None:
    """Lock a backfill against steps and other changes; return its status, None without one."""
    found: BackfillStatus | None = await conn.fetchval(
        statement("lock_backfill"), namespace, backfill_id
    )
    return found


async def lock_next(conn: Connection, *, horizon_ms: int, seen: Iterable[UUID]) -> Backfill | None:
    """Lock the backfill whose turn came first; its `done` is not read, see `count_open`."""
    row = await conn.fetchrow(statement("lock_next_backfill"), instant_at(horizon_ms), list(seen))
    return None if row is None else _backfill_of(row)


async def count_open(conn: Connection, backfill_id: UUID) -> OpenCount:
    """Count the unfinished runs of a locked backfill, and of all backfills."""
    row = await conn.fetchrow(statement("open_backfill_runs"), backfill_id)
    return OpenCount(0, 0) if row is None else OpenCount(*row)


async def write_step(
    conn: Connection, backfill: Backfill, job: SentJob, step: Step, *, now_ms: int
) -> None:
    """Write the runs of a step and move the cursor, at once."""
    await conn.execute(
        statement("write_backfill_step"),
        backfill.id,
        backfill.job_id,
        job.name,
        backfill.namespace,
        rank(job.priority, "backfill"),
        [run.id for run in step.runs],
        [instant_at(run.scheduled_ms) for run in step.runs],
        [instant_at(run.due_ms) for run in step.runs],
        [run.status for run in step.runs],
        instant_at(step.next_from_ms),
        instant_at(step.paced_ms),
        instant_at(now_ms),
    )


async def end_backfill(
    conn: Connection,
    backfill_id: UUID,
    *,
    status: BackfillStatus,
    now_ms: int,
    reason: str | None = None,
) -> None:
    """Give a locked backfill its last state; one that is cancelled takes its waiting runs along."""
    now = instant_at(now_ms)
    await conn.execute(statement("end_backfill"), backfill_id, status, reason, now)
    if status == "cancelled":
        await conn.fetch(statement("cancel_backfill_runs"), [backfill_id], reason, now)


async def cancel_backfills_of(
    conn: Connection, job_ids: Sequence[UUID], *, reason: str, now_ms: int
) -> None:
    """Cancel the backfills of jobs and their waiting runs; the caller holds the jobs' timers."""
    now = instant_at(now_ms)
    rows = await conn.fetch(statement("cancel_backfills_of"), job_ids, reason, now)
    if rows:
        ids = [row[0] for row in rows]
        await conn.fetch(statement("cancel_backfill_runs"), ids, reason, now)


async def list_backfills(
    conn: Connection, wanted: BackfillFilter, *, after: BackfillPlace | None, at_most: int
) -> list[Backfill]:
    """Return a page of backfills, newest first."""
    place: Sequence[Any] = (LAST, ID_LAST)
    if after is not None:
        place = (instant_at(after.created_ms), after.id)
    given = (wanted.namespace, *place, at_most, wanted.status)
    if wanted.job_id is None:
        rows = await conn.fetch(statement("list_backfills"), *given)
    else:
        rows = await conn.fetch(statement("list_job_backfills"), *given, wanted.job_id)
    return [_backfill_of(row) for row in rows]


def backfill_place(backfill: Backfill) -> BackfillPlace:
    """Return where a backfill stands in the list."""
    return BackfillPlace(epoch_ms(backfill.created_at), backfill.id)


async def prune_backfills(conn: Connection, *, before: datetime) -> None:
    """Delete a batch of those that ended before an instant."""
    await conn.execute(statement("prune_backfills"), before, PRUNE_BATCH)


def _backfill_of(row: Record) -> Backfill:
    values = dict(row)
    values["schedule"] = SCHEDULE.decode(row["schedule"])
    values["next_from_ms"] = epoch_ms(values.pop("next_from"))
    values["paced_ms"] = epoch_ms(values.pop("paced_at"))
    return Backfill(**values)
