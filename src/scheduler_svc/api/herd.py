"""The warning `herd`: many jobs of a namespace are next due in the minute in which this one is.

One bounded look at the index of timers. It sees next occurrences only: a weekly job meets the daily
ones of its minute when their next day is its own; `GET /forecast` sees them all.
"""

from collections import OrderedDict
from datetime import datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING
from uuid import UUID

from scheduler_svc.api.wire import stamp_ms
from scheduler_svc.api.wire_jobs import JobWarning
from scheduler_svc.domain.herd import COUNT_MAX, HERD_MIN, MINUTE_MS, can_be_spread, hint
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.occurrences import Timetable
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store.forecast import timers_between
from scheduler_svc.store.pool import Connection

if TYPE_CHECKING:  # it holds what was counted
    from scheduler_svc.api.context import Call


FRESH_SECONDS = 1.0
KNOWN_MAX = 4096


class Herds:
    """How many jobs were counted in a minute, for a moment: of a crowd each create would count."""

    def __init__(self) -> None:
        self._counted: OrderedDict[tuple[str, int], tuple[float, int]] = OrderedDict()

    def joined(self, namespace: str, minute_ms: int) -> int | None:
        """Return how many are there, and count one more; None where nobody counted just now."""
        key = namespace, minute_ms
        until, count = self._counted.get(key, (0.0, 0))
        if monotonic() >= until:
            return None
        self._counted[key] = until, count + 1
        return count

    def learn(self, namespace: str, minute_ms: int, count: int) -> None:
        """Remember a count, the job that asked not in it."""
        self._counted[namespace, minute_ms] = monotonic() + FRESH_SECONDS, count + 1
        if len(self._counted) > KNOWN_MAX:
            self._counted.popitem(last=False)


def minute_of(
    schedule: Schedule, fire_at: datetime | None, timetable: Timetable | None = None
) -> tuple[int, int] | None:
    """Return the minute in which a job could join a herd, and could be spread."""
    if fire_at is None or not can_be_spread(schedule, timetable):
        return None
    minute_ms = epoch_ms(fire_at) // MINUTE_MS * MINUTE_MS
    return minute_ms, minute_ms + MINUTE_MS


async def beside(conn: Connection, call: "Call", job: Job) -> list[JobWarning]:
    """Warn of the herd that a job, which is written by now, has joined."""
    schedule, herds = job.definition.schedule, call.deps.herds
    span = minute_of(schedule, job.next_fire_at)
    if span is None:
        return []
    others = herds.joined(job.namespace, span[0])
    if others is None:
        others = await _others(conn, job.namespace, span, but_not=job.id)
        herds.learn(job.namespace, span[0], others)
    return _warned(schedule, span[0], others)


async def of_job(conn: Connection, job: Job) -> list[JobWarning]:
    """Warn of the herd that a job's next occurrence joins."""
    schedule = job.definition.schedule
    return await of_instant(conn, job.namespace, schedule, job.next_fire_at, but_not=job.id)


async def of_instant(
    conn: Connection, namespace: str, schedule: Schedule, fire_at: datetime | None, *, but_not: UUID
) -> list[JobWarning]:
    """Warn of the herd in the minute of an instant."""
    span = minute_of(schedule, fire_at)
    if span is None:
        return []
    return _warned(schedule, span[0], await _others(conn, namespace, span, but_not=but_not))


async def _others(conn: Connection, namespace: str, span: tuple[int, int], *, but_not: UUID) -> int:
    count = partial(timers_between, conn, *span, namespace=namespace, but_not=but_not)
    others = await count(at_most=HERD_MIN)
    if others == HERD_MIN:  # only where there is a herd is it worth counting
        others = await count(at_most=COUNT_MAX)
    return others


def _warned(schedule: Schedule, minute_ms: int, others: int) -> list[JobWarning]:
    text = hint(schedule, others)
    return [] if text is None else [JobWarning(code="herd", detail=text, at=stamp_ms(minute_ms))]
