"""Jobs by their names, many at once: as they are, and given other definitions.

Reading takes no lock, for even a lock writes to a row. Whoever changes jobs holds their timers.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from scheduler_svc.domain.jobs import Job
from scheduler_svc.store.jobs import job_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

_ENCODER = msgspec.json.Encoder()


async def named(conn: Connection, namespace: str, names: Sequence[str]) -> dict[str, Job]:
    """Return the jobs of a namespace that have these names, by name."""
    found = map(job_of, await conn.fetch(statement("named_jobs"), namespace, names))
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
    return [job_of(row) for row in rows]


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
