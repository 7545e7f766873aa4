"""Jobs by their names, many at once: as they are, and given other definitions.

Reading takes no lock, for even a lock writes to a row. Whoever changes jobs holds their timers.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.jobs import Job
from scheduler_svc.store.jobs import job_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

AT_ONCE = 100
"""Rows that are made jobs before the loop, which also fires timers, turns to others."""
_ENCODER = msgspec.json.Encoder()


async def named(conn: Connection, namespace: str, names: Sequence[str]) -> dict[str, Job]:
    """Return the jobs of a namespace that have these names, by name."""
    found = await _jobs_of(await conn.fetch(statement("named_jobs"), namespace, names))
    return {job.definition.name: job for job in found if job.definition.name is not None}


async def labelled(
    conn: Connection,
    namespace: str,
    label: dict[str, str],
    *,
    besides: Sequence[str],
    at_most: int,
) -> list[Job]:
    """Return the jobs that bear a label, in the order of their names, but for those named."""
    rows = await conn.fetch(
        statement("owned_jobs"), namespace, _ENCODER.encode(label).decode(), besides, at_most
    )
    return await _jobs_of(rows)


async def _jobs_of(rows: Sequence[Record]) -> list[Job]:
    made: list[Job] = []
    for begin in range(0, len(rows), AT_ONCE):
        made += map(job_of, rows[begin : begin + AT_ONCE])
        await asyncio.sleep(0)
    return made


async def change_definitions(conn: Connection, jobs: Sequence[Job], now: datetime) -> None:
    """Write other definitions of jobs whose names, schedules and states stay."""
    await conn.execute(
        statement("change_definitions"),
        [job.id for job in jobs],
        [job.definition.description for job in jobs],
        [_ENCODER.encode(job.definition.labels).decode() for job in jobs],
        [_ENCODER.encode(job.definition).decode() for job in jobs],
        [job.revision for job in jobs],
        now,
    )


async def unkey(conn: Connection, job_ids: Sequence[UUID]) -> None:
    """Let the waiting runs of jobs be judged anew, for their key may be another now."""
    await conn.execute(statement("unkey_runs_of"), job_ids)
