"""The claim's side of the store: lock timers, read what deciding needs, write what was decided.

Each function is one statement on the caller's connection, inside the caller's short transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from asyncpg.pgproto.pgproto import UUID as UUID16

from scheduler_svc.domain.decide import Decision, NewRun, PlannedJob, Timer
from scheduler_svc.domain.deferral import Deferral
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id, run_id_bytes
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import Recorded, recorded
from scheduler_svc.domain.runs import rank
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.columns import numbers, shared_number, shared_word, words
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

DEFINITION = msgspec.json.Decoder(Definition)
NIL = UUID(int=0)
RECORDED_MAX = 100
"""So many rows of one job are gone around in one decision; what lies behind them in the next."""


class Contested(Exception):
    """A claim met what it takes for granted not to be: the run of an occurrence that it writes, or
    a timer that moved. Nothing of the transaction holds; the claim is to be decided anew, by the
    rules, with what the ledger holds.
    """


class Mark(msgspec.Struct, frozen=True):
    """Where a scan of the timers starts: everything up to it has been seen."""

    fire_ms: int = 0
    job_id: UUID = NIL


class Plain(msgspec.Struct, frozen=True, gc=False):
    """The claim of an occurrence that is sent at its instant, with nothing else to be written."""

    claim: ClaimedRun
    name: str | None
    namespace: str
    priority: int
    next_ms: int
    """Where the timer moves."""
    runs_made: int


class StoredJob(msgspec.Struct, frozen=True, gc=False):
    """The part of a job that deciding needs, as it is stored; the definition is JSON text."""

    id: UUID
    namespace: str
    revision: int
    definition: str
    created_at: datetime


async def lock_due(conn: Connection, after: Mark, *, horizon_ms: int, batch: int) -> list[Timer]:
    """Lock the earliest timers after the mark up to the horizon, leaving those others hold."""
    rows = await conn.fetch(
        statement("lock_due_timers"),
        instant_at(after.fire_ms),
        after.job_id,
        instant_at(horizon_ms),
        batch,
    )
    return _timers(rows)


async def lock_listed(conn: Connection, job_ids: Sequence[UUID], *, horizon_ms: int) -> list[Timer]:
    """Lock those of these jobs' timers that are due by the horizon, leaving those others hold."""
    rows = await conn.fetch(statement("lock_listed_timers"), job_ids, instant_at(horizon_ms))
    return _timers(rows)


async def read_due(conn: Connection, after: Mark, *, horizon_ms: int, at_most: int) -> list[Timer]:
    """Read the earliest timers after the mark that are due by the horizon, and lock none."""
    rows = await conn.fetch(
        statement("read_due_timers"),
        instant_at(after.fire_ms),
        after.job_id,
        instant_at(horizon_ms),
        at_most,
    )
    return _timers(rows)


def _timers(rows: Iterable[asyncpg.Record]) -> list[Timer]:
    timers = []
    # Many are due at one instant, and of most the two are the same.
    last, last_ms, in_order = None, 0, True
    for job_id, scheduled_for, fire_at, revision, runs_made in rows:
        if fire_at != last:
            before_ms, last, last_ms = last_ms, fire_at, epoch_ms(fire_at)
            in_order = in_order and last_ms >= before_ms
        at: int | None = last_ms
        if scheduled_for != fire_at:
            at = None if scheduled_for is None else epoch_ms(scheduled_for)
        timers.append(Timer(job_id, at, last_ms, revision, runs_made))
    if not in_order:  # a row that somebody moved while this look waited for it
        timers.sort(key=lambda timer: (timer.fire_ms, timer.job_id.bytes))
    return timers


async def load_definitions(conn: Connection, job_ids: Sequence[UUID]) -> list[StoredJob]:
    """Read the definitions of jobs whose timers this transaction holds."""
    rows = await conn.fetch(statement("load_definitions"), job_ids)
    return [StoredJob(*row) for row in rows]


async def open_runs(conn: Connection, job_ids: Sequence[UUID]) -> dict[UUID, list[OpenRun]]:
    """Return the unfinished runs of these jobs."""
    found: dict[UUID, list[OpenRun]] = defaultdict(list)
    for open_id, job_id, queued, behind in await conn.fetch(statement("open_runs"), job_ids):
        found[job_id].append(OpenRun(open_id, queued, behind))
    return found


async def open_occurrences(
    conn: Connection, occurrences: Sequence[tuple[UUID, int]]
) -> dict[UUID, list[OpenRun]]:
    """Return the unfinished runs of these occurrences: pairs of a job and its nominal time."""
    rows = await conn.fetch(
        statement("open_occurrences"),
        [run_id(job_id, at) for job_id, at in occurrences],
        [instant_at(at) for _, at in occurrences],
    )
    return {job_id: [OpenRun(found, *how)] for found, job_id, *how in rows}


async def recorded_occurrences(
    conn: Connection, firsts: Sequence[tuple[UUID, int]], *, at_most: int = RECORDED_MAX
) -> dict[UUID, Recorded]:
    """Return what rows there are of these jobs' occurrences from an instant each on, of those that
    have any; the oldest so many.
    """
    found: dict[UUID, list[tuple[int, int]]] = defaultdict(list)
    rows = await conn.fetch(
        statement("recorded_occurrences"),
        [job_id for job_id, _ in firsts],
        [instant_at(first_ms) for _, first_ms in firsts],
        at_most,
    )
    for job_id, first, until in rows:
        found[job_id].append((epoch_ms(first), epoch_ms(until)))
    return {job_id: recorded(each, at_most=at_most) for job_id, each in found.items()}


async def write_decisions(
    conn: Connection, decisions: Sequence[Decision], *, replica: UUID, now_ms: int
) -> set[UUID]:
    """Move the timers and write the runs; return the ids of the runs that were new."""
    rows = await conn.fetch(
        statement("write_decisions"),
        [d.job.id for d in decisions],
        numbers([d.scheduled_ms for d in decisions]),
        numbers([d.fire_ms for d in decisions]),
        numbers([d.runs_made for d in decisions]),
        *_run_columns([(d.job, run) for d in decisions for run in d.runs]),
        replica,
        instant_at(now_ms),
    )
    return {row[0] for row in rows}


async def write_plain(
    conn: Connection, plain: Sequence[Plain], *, replica: UUID, now_ms: int
) -> None:
    """Do the same for plain claims, all of them; raise Contested where that can not be."""
    at, ats = shared_number([one.claim.scheduled_ms for one in plain])
    following, followings = shared_number([one.next_ms for one in plain])
    priority, priorities = shared_number([one.priority for one in plain])
    namespace, namespaces = shared_word([one.namespace for one in plain])
    names = [one.name for one in plain]
    try:
        done: str = await conn.execute(
            statement("write_plain"),
            [one.claim.job_id for one in plain],
            [one.claim.id for one in plain],
            numbers([one.runs_made for one in plain]),
            words(names) if any(names) else "",
            *(at, ats, following, followings, priority, priorities, namespace, namespaces),
            replica,
            instant_at(now_ms),
        )
    except asyncpg.UniqueViolationError as error:
        raise Contested from error
    if int(done.rsplit(" ", 1)[-1]) != len(plain):
        raise Contested


def claim_of(job_id: UUID, scheduled_ms: int) -> ClaimedRun:
    """Return the claim of an occurrence by its first attempt, at its instant."""
    # The driver's own ids: they are made, hashed and written in a tenth of the time.
    run_id = UUID16(run_id_bytes(job_id.bytes, scheduled_ms))
    return ClaimedRun(run_id, job_id, scheduled_ms, scheduled_ms, "schedule", 1)


async def ending_pauses(conn: Connection, job_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of these jobs that are paused: their timers stand at the end of a pause."""
    return {row[0] for row in await conn.fetch(statement("ending_pauses"), job_ids)}


async def complete_jobs(conn: Connection, job_ids: Sequence[UUID], *, now_ms: int) -> list[UUID]:
    """Mark jobs that have no occurrence left."""
    rows = await conn.fetch(statement("complete_jobs"), job_ids, instant_at(now_ms))
    return [row[0] for row in rows]


def _run_columns(runs: Sequence[tuple[PlannedJob, NewRun]]) -> tuple[Any, ...]:
    """Turn new runs into ids and one text a column."""
    return (
        [run.id for _, run in runs],
        numbers([run.scheduled_ms for _, run in runs]),
        [job.id for job, _ in runs],
        words([job.definition.name for job, _ in runs]),
        words([job.namespace for job, _ in runs]),
        words([run.trigger for _, run in runs]),
        words([run.status for _, run in runs]),
        words([run.reason for _, run in runs]),
        numbers([run.occurrences for _, run in runs]),
        numbers([run.until_ms for _, run in runs]),
        numbers([rank(job.definition.priority, run.trigger) for job, run in runs]),
        numbers([None if run.status == "skipped" else run.fire_ms for _, run in runs]),
        numbers([int(run.queued) for _, run in runs]),
        words([None if run.deferral is None else run.deferral.key for _, run in runs]),
        words([None if run.deferral is None else _json(run.deferral) for _, run in runs]),
    )


def _json(deferral: Deferral) -> str:
    return msgspec.json.encode(deferral).decode()
