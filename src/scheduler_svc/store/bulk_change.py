"""Many jobs changed at once: what `jobs` reads and writes for one, for a batch in one statement.

The caller holds the timers of the batch (`expectations.lock_timers`), in the order of their ids.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.jobs import Job, Pause
from scheduler_svc.store.job_lists import JobFilter, filter_values
from scheduler_svc.store.jobs import Unsent, job_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class ManualRun(msgspec.Struct, frozen=True):
    """A run that a trigger makes."""

    id: UUID
    job: Job
    queued: bool


async def matching(conn: Connection, wanted: JobFilter, *, at_most: int) -> list[UUID]:
    """Return the ids of jobs that a filter matches; runs in a transaction of the caller's."""
    await conn.execute(statement("plan_afresh"))
    rows = await conn.fetch(
        statement("matching_jobs"), wanted.namespace, at_most, *filter_values(wanted)
    )
    return [row[0] for row in rows]


async def get_jobs(conn: Connection, namespace: str, job_ids: Sequence[UUID]) -> list[Job]:
    """Read jobs of a namespace, without their last runs."""
    rows = await conn.fetch(statement("get_jobs"), namespace, job_ids)
    return [job_of(row) for row in rows]


async def unsent_of(
    conn: Connection, job_ids: Sequence[UUID], *, now_ms: int
) -> dict[UUID, Unsent]:
    """Return what was claimed ahead of its instant and not sent, by job."""
    found: dict[UUID, list[Record]] = defaultdict(list)
    for row in await conn.fetch(statement("unsent_of"), job_ids, instant_at(now_ms)):
        found[row["job_id"]].append(row)
    return {
        job_id: Unsent(
            epoch_ms(rows[0]["scheduled_for"]),
            frozenset(row["id"] for row in rows),
            sum(row["status"] == "running" for row in rows),
        )
        for job_id, rows in found.items()
    }


async def last_occurrences(
    conn: Connection, afters: Sequence[tuple[UUID, int]], *, until_ms: int
) -> dict[UUID, int]:
    """Return the last occurrence in (after, until] that the ledger holds, of jobs that have one."""
    rows = await conn.fetch(
        statement("last_occurrences"),
        [job_id for job_id, _ in afters],
        [instant_at(after_ms) for _, after_ms in afters],
        instant_at(until_ms),
    )
    return {job_id: epoch_ms(last) for job_id, last in rows}


async def change_states(conn: Connection, jobs: Sequence[Job], now: datetime) -> None:
    """Write the states, pauses and revisions of jobs."""
    await conn.execute(
        statement("change_states"),
        [job.id for job in jobs],
        [job.state for job in jobs],
        [_text(job.pause) for job in jobs],
        [job.revision for job in jobs],
        now,
    )


async def delete_jobs(conn: Connection, job_ids: Sequence[UUID], *, now_ms: int) -> None:
    """Remove jobs and end what was waiting of them; their history stays."""
    await conn.execute(statement("delete_jobs"), job_ids)
    await conn.execute(statement("cancel_due_runs_of"), job_ids, "job_deleted", instant_at(now_ms))


async def forget_unsent(conn: Connection, job_ids: Sequence[UUID], *, now_ms: int) -> None:
    """Remove occurrences given back before their instant: they are decided anew."""
    await conn.execute(statement("forget_unsent_of"), job_ids, instant_at(now_ms))


async def insert_runs(conn: Connection, runs: Sequence[ManualRun], *, now_ms: int) -> None:
    """Write triggers of jobs of one namespace, due now."""
    await conn.execute(
        statement("insert_runs"),
        runs[0].job.namespace,
        instant_at(now_ms),
        [run.id for run in runs],
        [run.job.id for run in runs],
        [run.job.definition.name for run in runs],
        [run.job.definition.priority for run in runs],
        [run.queued for run in runs],
    )


async def is_held(conn: Connection, job_ids: Sequence[UUID], *, now_ms: int) -> bool:
    """Tell whether some replica holds an unsent run of these jobs, its instant still to come."""
    held: bool = await conn.fetchval(statement("held_of"), job_ids, instant_at(now_ms))
    return held


def _text(pause: Pause | None) -> str | None:
    return None if pause is None else msgspec.json.encode(pause).decode()
