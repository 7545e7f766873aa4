"""The warning `herd`: many jobs of a namespace are next due in the minute in which this one is.

One bounded look at the index of timers. It sees next occurrences only: a weekly job meets the daily
ones of its minute when their next day is its own; `GET /forecast` sees them all.
"""

from datetime import datetime
from functools import partial
from uuid import UUID

from scheduler_svc.api.wire import stamp_ms
from scheduler_svc.api.wire_jobs import JobWarning
from scheduler_svc.domain.herd import COUNT_MAX, HERD_MIN, MINUTE_MS, can_be_spread, hint
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store.forecast import timers_between
from scheduler_svc.store.pool import Connection


async def of_job(conn: Connection, job: Job) -> list[JobWarning]:
    """Warn of the herd that a job's next occurrence joins."""
    schedule = job.definition.schedule
    return await of_instant(conn, job.namespace, schedule, job.next_fire_at, but_not=job.id)


async def of_instant(
    conn: Connection, namespace: str, schedule: Schedule, fire_at: datetime | None, *, but_not: UUID
) -> list[JobWarning]:
    """Warn of the herd in the minute of an instant."""
    if fire_at is None or not can_be_spread(schedule):
        return []
    minute_ms = epoch_ms(fire_at) // MINUTE_MS * MINUTE_MS
    span = minute_ms, minute_ms + MINUTE_MS
    count = partial(timers_between, conn, *span, namespace=namespace, but_not=but_not)
    others = await count(at_most=HERD_MIN)
    if others == HERD_MIN:  # only where there is a herd is it worth counting
        others = await count(at_most=COUNT_MAX)
    text = hint(schedule, others)
    return [] if text is None else [JobWarning(code="herd", detail=text, at=stamp_ms(minute_ms))]
