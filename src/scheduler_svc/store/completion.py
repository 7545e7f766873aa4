"""Runs whose targets report their end themselves: one typed function a statement.

A report is judged under the lock of the run's row, which the caller takes after that of its job's
timer.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.ids import epoch_ms, instant_at, scheduled_ms_of
from scheduler_svc.domain.incidents import End
from scheduler_svc.domain.runs import CompletionStatus, Run, RunStatus
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.runs import run_of
from scheduler_svc.store.settlements import Settlement, settled_columns


class Overdue(msgspec.Struct, frozen=True):
    """A run whose target has not reported in time."""

    id: UUID
    scheduled_for: datetime
    job_id: UUID


async def settle_callbacks(
    conn: Connection, batch: Sequence[Settlement], *, now_ms: int
) -> dict[UUID, tuple[RunStatus, str | None]]:
    """Write outcomes of callback jobs; return status and reason of each run now.

    `running` lets the run await its report. The ids missing from the answer had lost their lease.
    """
    rows = await conn.fetch(
        statement("settle_callbacks"),
        *settled_columns(batch),
        [s.timeout_ms for s in batch],
        instant_at(now_ms),
    )
    return {run_id: (status, reason) for run_id, status, reason in rows}


async def job_of(conn: Connection, run_id: UUID) -> UUID | None:
    """Return the job of a run, without a lock."""
    found: UUID | None = await conn.fetchval(
        statement("job_of_run"), run_id, instant_at(scheduled_ms_of(run_id))
    )
    return found


async def lock_reported(conn: Connection, run_id: UUID) -> Run | None:
    """Lock the run that a judged token names, and read it."""
    row = await conn.fetchrow(
        statement("lock_reported_run"), run_id, instant_at(scheduled_ms_of(run_id))
    )
    return None if row is None else run_of(row)


async def note_report(
    conn: Connection, run_id: UUID, status: CompletionStatus, detail: str | None
) -> None:
    """Keep a report that came before the attempt's own answer."""
    at = instant_at(scheduled_ms_of(run_id))
    await conn.execute(statement("note_report"), run_id, at, status, detail)


async def end_by_report(
    conn: Connection, run_id: UUID, status: CompletionStatus, detail: str | None, *, now_ms: int
) -> None:
    """End a locked run that awaits its report, or its retry."""
    at = instant_at(scheduled_ms_of(run_id))
    await conn.execute(statement("end_by_report"), run_id, at, status, detail, instant_at(now_ms))


async def extend(conn: Connection, run_id: UUID, *, now_ms: int) -> None:
    """Give a locked run that awaits its report the whole time-out once more."""
    at = instant_at(scheduled_ms_of(run_id))
    await conn.execute(statement("extend_completion"), run_id, at, instant_at(now_ms))


async def overdue(conn: Connection, *, now_ms: int, batch: int) -> list[Overdue]:
    """Find runs whose report has not come in time, the longest overdue first; locks nothing."""
    rows = await conn.fetch(statement("overdue_completions"), instant_at(now_ms), batch)
    return [Overdue(*row) for row in rows]


async def expire(conn: Connection, runs: Sequence[Overdue], *, now_ms: int) -> list[End]:
    """End those that are overdue still; the caller holds the timers of their jobs."""
    rows = await conn.fetch(
        statement("expire_completions"),
        [run.id for run in runs],
        [run.scheduled_for for run in runs],
        instant_at(now_ms),
    )
    return [_end_of(row) for row in rows]


async def ends_of(conn: Connection, run_ids: Sequence[UUID]) -> list[End]:
    """Read runs that have ended as what their jobs' alerts need of them."""
    days = [instant_at(scheduled_ms_of(run_id)) for run_id in run_ids]
    rows = await conn.fetch(statement("ended_runs"), run_ids, days)
    return [_end_of(row) for row in rows]


def _end_of(row: Record) -> End:
    return End(
        run_id=row["id"],
        job_id=row["job_id"],
        namespace=row["namespace"],
        trigger=row["trigger"],
        scheduled_ms=epoch_ms(row["scheduled_for"]),
        status=row["status"],
        reason=row["reason"],
        attempt_count=row["attempt_count"],
        started_at=row["started_at"],
        lateness_ms=row["lateness_ms"],
        duration_ms=row["duration_ms"],
        by_filter=row["by_filter"],
    )
