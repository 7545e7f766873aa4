"""The end of attempts: settled in batches, fenced; and held runs given back unsent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.runs import RunStatus
from scheduler_svc.store.columns import ids, numbers, shared_number, words
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

CLOCKS_APART_MS = 50
"""How far two replicas' readings of the database's clock may lie apart."""


class Settlement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt made of its run; `record` is the attempt as JSON, null where none was."""

    id: UUID
    job_id: UUID
    scheduled_ms: int
    attempt: int
    status: RunStatus
    reason: str | None = None
    record: str | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    next_attempt_ms: int | None = None
    lateness_ms: int | None = None
    duration_ms: int | None = None
    timeout_ms: int | None = None
    """Of a job whose target reports its end: how long it has, once it took the run."""
    plain: bool = False
    """A first attempt that was sent and succeeded: `settle_plain` says the same in fewer words."""


class Held(msgspec.Struct, frozen=True):
    """A run this replica holds: its identity and its fencing token."""

    id: UUID
    scheduled_ms: int
    attempt: int


async def settle(conn: Connection, batch: Sequence[Settlement]) -> dict[UUID, RunStatus]:
    """Write outcomes in one statement; return what each run is now.

    The ids missing from the answer had lost their lease. A run that was to be tried again and that
    someone asked to cancel is `cancelled`.
    """
    return dict(await conn.fetch(statement("settle_runs"), *settled_texts(batch)))


async def settle_plain(conn: Connection, batch: Sequence[Settlement]) -> set[UUID]:
    """Do the same for first attempts that succeeded; return the ids of those that were settled.

    Now or before: of one that was carried out though nobody heard of it the record is there.
    """
    runs, records = [s.id for s in batch], words([s.record for s in batch])
    at, ats = shared_number([s.scheduled_ms for s in batch])
    done: str = await conn.execute(
        statement("settle_plain"),
        runs,
        records,
        numbers([s.started_ms for s in batch]),
        numbers([s.finished_ms for s in batch]),
        at,
        ats,
    )
    if int(done.rsplit(" ", 1)[-1]) == len(batch):
        return set(runs)
    return {row[0] for row in await conn.fetch(statement("plain_ends"), runs, records, at, ats)}


def settled_texts(batch: Sequence[Settlement]) -> tuple[Any, ...]:
    """Turn settlements into one text a column."""
    return (
        ids([s.id for s in batch]),
        numbers([s.scheduled_ms for s in batch]),
        numbers([s.attempt for s in batch]),
        words([s.status for s in batch]),
        words([s.reason for s in batch]),
        words([s.record for s in batch]),
        numbers([s.started_ms for s in batch]),
        numbers([s.finished_ms for s in batch]),
        numbers([s.next_attempt_ms for s in batch]),
        numbers([s.lateness_ms for s in batch]),
        numbers([s.duration_ms for s in batch]),
    )


def settled_columns(batch: Sequence[Settlement]) -> tuple[list[Any], ...]:
    """Turn settlements into one array a column."""
    return (
        [s.id for s in batch],
        [instant_at(s.scheduled_ms) for s in batch],
        [s.attempt for s in batch],
        [s.status for s in batch],
        [s.reason for s in batch],
        [s.record for s in batch],
        [_instant(s.started_ms) for s in batch],
        [_instant(s.finished_ms) for s in batch],
        [_instant(s.next_attempt_ms) for s in batch],
        [s.lateness_ms for s in batch],
        [s.duration_ms for s in batch],
    )


async def lock_queues(conn: Connection, job_ids: Sequence[UUID]) -> None:
    """Keep the tick from deciding these jobs until the transaction ends."""
    await conn.fetch(statement("lock_queues"), job_ids)


async def release_queued(conn: Connection, job_ids: Sequence[UUID], *, now_ms: int) -> list[UUID]:
    """Let the run that waited behind another go, where its job has none left.

    Locks the timers first: a pass that sends beside what is caught up must have been seen. A
    caller who locks runs before has to lock the timers before those.
    """
    await lock_queues(conn, job_ids)
    rows = await conn.fetch(statement("release_queued"), job_ids, instant_at(now_ms))
    return [row[0] for row in rows]


async def release_stranded(conn: Connection, *, now_ms: int) -> list[UUID]:
    """Let go waiting runs whose predecessor ended without telling."""
    job_ids = [row[0] for row in await conn.fetch(statement("stranded_jobs"))]
    return await release_queued(conn, job_ids, now_ms=now_ms) if job_ids else []


async def pause_jobs(
    conn: Connection, job_ids: Sequence[UUID], *, reason: str, now_ms: int
) -> list[UUID]:
    """Pause active jobs on the service's own account; return which were active."""
    rows = await conn.fetch(statement("pause_jobs"), job_ids, reason, instant_at(now_ms))
    return [row[0] for row in rows]


async def paused_at(conn: Connection, ats: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Return which of these jobs are paused since exactly that instant, in epoch milliseconds."""
    rows = await conn.fetch(
        statement("paused_at"), [job_id for job_id, _ in ats], [instant_at(ms) for _, ms in ats]
    )
    return [row[0] for row in rows]


async def release_runs(conn: Connection, held: Sequence[Held], *, replica: UUID) -> set[UUID]:
    """Give held runs back to `due`, their unmade attempt uncounted."""
    rows = await conn.fetch(statement("release_runs"), *_keys(held), replica)
    return {row[0] for row in rows}


async def forget_runs(
    conn: Connection, held: Sequence[Held], *, replica: UUID, now_ms: int
) -> set[UUID]:
    """Remove held first attempts whose occurrence an edit decides anew; return which.

    A run whose occurrence the timer has already left behind is not removed: release it.
    """
    await conn.fetch(statement("lock_timers_of"), [run.id for run in held], _days(held))
    rows = await conn.fetch(
        statement("forget_runs"), *_keys(held), replica, instant_at(now_ms + CLOCKS_APART_MS)
    )
    return {row[0] for row in rows}


async def runs_of(conn: Connection, replica: UUID, *, before_ms: int) -> list[Held]:
    """Return what a replica holds, by the database, of what was claimed before an instant."""
    rows = await conn.fetch(statement("my_runs"), replica, instant_at(before_ms))
    return [Held(run_id, epoch_ms(day), attempt) for run_id, day, attempt in rows]


async def cancel_runs(
    conn: Connection,
    runs: Sequence[tuple[UUID, int]],
    *,
    reason: str,
    now_ms: int,
) -> list[UUID]:
    """End waiting runs, ask for the end of running ones; return the ids of the latter."""
    ids = [run for run, _ in runs]
    days = [instant_at(ms) for _, ms in runs]
    await conn.fetch(statement("cancel_runs"), ids, days, reason, instant_at(now_ms))
    asked = [row[0] for row in await conn.fetch(statement("ask_cancel"), ids, days)]
    if asked:
        # One that came to await its target's report between the two: nobody holds it to end it.
        again = [instant_at(ms) for run, ms in runs if run in asked]
        held = [run for run, _ in runs if run in asked]
        rows = await conn.fetch(statement("cancel_runs"), held, again, reason, instant_at(now_ms))
        asked = [run for run in asked if run not in {row[0] for row in rows}]
    return asked


def _keys(held: Sequence[Held]) -> tuple[list[UUID], list[datetime], list[int]]:
    return [run.id for run in held], _days(held), [run.attempt for run in held]


def _days(held: Sequence[Held]) -> list[datetime]:
    return [instant_at(run.scheduled_ms) for run in held]


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else instant_at(ms)
