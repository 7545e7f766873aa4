"""Jobs in the store: one typed function a statement, rows become domain values here.

Whoever creates runs of a job or changes it holds the job's timer row (`lock_job`), so that all
of that happens in one queue; timers are locked before jobs, everywhere.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

import asyncpg
import msgspec
from asyncpg import Record

from scheduler_svc.domain.errors import NameTaken
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.jobs import Definition, Job, LastRun, Pause
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.timers import DEFINITION

PAUSE = msgspec.json.Decoder(Pause)
KNOWN_MAX, KNOWN_LENGTH_MAX = 512, 2048
"""Definitions that were read last and are kept, and how long a text is kept at most."""

Expected = tuple[str | None, str | None, datetime | None]
"""What is kept of a job's coming instants: the versions, the instants as text, the refresh."""
NOTHING_EXPECTED: Expected = (None, None, None)


class TimerState(msgspec.Struct, frozen=True):
    """When a job is next due; both None where it is paused or completed."""

    scheduled_for: datetime | None
    fire_at: datetime | None
    runs_made: int = 0


class Unsent(msgspec.Struct, frozen=True):
    """Runs of occurrences claimed ahead and not sent; `held` of them are in a replica's hand."""

    first_ms: int
    runs: frozenset[UUID]
    held: int


async def insert_job(
    conn: Connection,
    job: Job,
    timer: TimerState,
    *,
    expected: Expected = NOTHING_EXPECTED,
    wake_ms: int | None = None,
) -> None:
    """Write a new job with its timer, in one statement; raise NameTaken where its name is in use.

    `wake_ms` tells every replica, at commit, that work is due then.
    """
    definition = job.definition
    try:
        await conn.execute(
            statement("insert_job"),
            job.id,
            job.namespace,
            definition.name,
            definition.description,
            _text(definition.labels),
            _text(definition),
            job.state,
            job.revision,
            job.created_at,
            timer.scheduled_for,
            timer.fire_at,
            *expected,
            None if wake_ms is None else notices.wake_text(wake_ms),
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"A job named '{definition.name}' exists already.") from error


async def find_id(conn: Connection, namespace: str, name: str) -> UUID | None:
    """Return the id of the job of that name."""
    found: UUID | None = await conn.fetchval(statement("find_job_id"), namespace, name)
    return found


async def lock_timer(conn: Connection, job_id: UUID) -> TimerState | None:
    """Lock a job against the claim and other changes until the transaction ends."""
    row = await conn.fetchrow(statement("lock_timer"), job_id)
    return None if row is None else TimerState(*row)


async def get_job(conn: Connection, namespace: str, job_id: UUID) -> Job | None:
    """Read one job, its last run included."""
    row = await conn.fetchrow(statement("get_job"), namespace, job_id)
    return None if row is None else with_last_run(row)


def with_last_run(row: Record) -> Job:
    """Make a job of a row of get_job."""
    last = None
    if row["last_id"] is not None:
        last = LastRun(
            id=row["last_id"],
            status=row["last_status"],
            scheduled_for=row["last_scheduled_for"],
            finished_at=row["last_finished_at"],
        )
    return job_of(row, last)


async def last_runs(conn: Connection, job_ids: Sequence[UUID]) -> dict[UUID, LastRun]:
    """Return the newest run of each of these jobs that has one."""
    rows = await conn.fetch(statement("last_runs"), job_ids)
    return {
        row["job_id"]: LastRun(
            id=row["id"],
            status=row["status"],
            scheduled_for=row["scheduled_for"],
            finished_at=row["finished_at"],
        )
        for row in rows
    }


async def update_job(conn: Connection, job: Job, timer: TimerState | None) -> None:
    """Write a changed job; `timer` only where the change moves it (G7: else it stays)."""
    definition = job.definition
    try:
        await conn.execute(
            statement("update_job"),
            job.id,
            definition.name,
            definition.description,
            _text(definition.labels),
            _text(definition),
            job.state,
            None if job.pause is None else _text(job.pause),
            job.revision,
            job.updated_at,
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"A job named '{definition.name}' exists already.") from error
    if timer is None:
        await conn.execute(statement("set_timer_revision"), job.id, job.revision)
    else:
        await conn.execute(
            statement("set_timer"), job.id, timer.scheduled_for, timer.fire_at, job.revision
        )


async def delete_job(conn: Connection, job_id: UUID, *, now_ms: int) -> None:
    """Remove a job and end what was waiting of it; its history stays."""
    await conn.execute(statement("delete_job"), job_id)
    await conn.fetch(statement("cancel_due_runs"), job_id, "job_deleted", instant_at(now_ms))


async def forget_unsent(conn: Connection, job_id: UUID, *, now_ms: int) -> None:
    """Remove occurrences given back before their instant: the new revision decides them anew."""
    await conn.execute(statement("forget_unsent"), job_id, instant_at(now_ms))


async def unsent_occurrences(conn: Connection, job_id: UUID, *, now_ms: int) -> Unsent | None:
    """Return what was claimed ahead of its instant and not sent, under the timer's lock."""
    rows = await conn.fetch(statement("unsent_occurrences"), job_id, instant_at(now_ms))
    if not rows:
        return None
    return Unsent(
        epoch_ms(rows[0]["scheduled_for"]),
        frozenset(row["id"] for row in rows),
        sum(row["status"] == "running" for row in rows),
    )


async def held_until(conn: Connection, job_id: UUID, *, now_ms: int) -> list[UUID]:
    """Return the runs of a job that some replica holds unsent, their instant still to come."""
    rows = await conn.fetch(statement("held_runs"), job_id, instant_at(now_ms))
    return [row[0] for row in rows]


def job_of(row: Record, last_run: LastRun | None = None) -> Job:
    """Make a job of a row of get_job or of a list."""
    return Job(
        id=row["id"],
        namespace=row["namespace"],
        definition=_definition(row["definition"]),
        state=row["state"],
        pause=None if row["pause"] is None else PAUSE.decode(row["pause"]),
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        next_fire_at=row["next_fire_at"],
        scheduled_for=row["scheduled_for"],
        runs_made=row["runs_made"],
        last_run=last_run,
    )


@lru_cache(maxsize=KNOWN_MAX)
def _known(text: str) -> Definition:
    return DEFINITION.decode(text)


def _definition(text: str) -> Definition:
    """Read a definition; those of jobs that are read again and again are read once."""
    return _known(text) if len(text) <= KNOWN_LENGTH_MAX else DEFINITION.decode(text)


def _text(value: Definition | Pause | dict[str, str]) -> str:
    return msgspec.json.encode(value).decode()
