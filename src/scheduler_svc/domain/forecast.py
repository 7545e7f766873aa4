"""The load ahead: how often anything fires in each minute of a window, and at which hosts.

Promises the instants that the engine's own code names, for all jobs at once: equal schedules are
walked once, intervals of one length that are cut alike are counted together. Works a step at a time
(`steps`), for the loop that sends must not wait for it. Whether a run will be skipped by an overlap
is not foreseen.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct

from scheduler_svc.domain.cron import draws, is_hashed
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.forecast_intervals import (
    MINUTE_MS,
    Cells,
    Counted,
    Intervals,
    minutes_of_intervals,
)
from scheduler_svc.domain.forecast_minutes import Span, intervals_of, minutes_of
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import compile_schedule, draw_spread, expressions_of
from scheduler_svc.domain.schedule import Schedule

HOSTS_MAX: Final = 1000
"""Hosts are followed minute by minute up to so many, those with the most jobs."""
STEP: Final = 256
_REST: Final = ""


class ForecastJob(Struct, frozen=True, gc=False):
    """What a forecast needs of a job: `schedule` is its JSON text.

    `from_ms` is its next occurrence; of a paused one that resumes itself, when it does.
    """

    id: UUID
    created_at: datetime
    schedule: str
    host: str
    from_ms: int
    runs_made: int = 0
    paused: bool = False


class HostLoad(Struct, frozen=True):
    """What one host will get."""

    host: str
    count: int
    peak_per_minute: int


class _Shape(Struct, frozen=True, gc=False):
    """A schedule as it is read once: `own` where something of the job decides its instants too.

    Of an `every`, `period` is set and `cut` is what narrows it, None where nothing does; `hashed`
    where its exclusions differ from job to job. `spread` is the width that it is drawn from.
    """

    schedule: Schedule
    own: bool
    hashed: bool
    period: int | None
    anchor: int | None
    cut: bytes | None
    spread: int


class _Source(Struct, frozen=True, gc=False):
    """A schedule that some jobs share; `hosts` holds how many of them each host has."""

    job: ForecastJob
    span: Span
    hosts: dict[str, int]


class _Every(Struct, frozen=True, gc=False):
    """Jobs of one period that are cut alike: their anchors modulo the period, by host."""

    shared: Intervals
    phases: dict[str, list[int]]


class Forecast:
    """A window, filled job by job and then counted."""

    def __init__(self, low_ms: int, high_ms: int) -> None:
        self.low_ms, self.high_ms = low_ms, high_ms
        self._first = low_ms // MINUTE_MS
        self._size = (high_ms - 1) // MINUTE_MS - self._first + 1
        self._sources: dict[Hashable, _Source] = {}
        self._every: dict[Hashable, _Every] = {}
        self._shapes: dict[str, _Shape] = {}
        self._whole = Span(low_ms, high_ms)
        self._jobs: Counter[str] = Counter()
        self._total = array("Q", bytes(8 * self._size))
        self._hosts: dict[str, array[int]] = {}

    def fill(self, jobs: Iterable[ForecastJob]) -> Iterator[None]:
        """Add jobs, and yield after each."""
        for job in jobs:
            self._add(job)
            yield

    def _add(self, job: ForecastJob) -> None:
        """Put a job to those that it shares its instants with."""
        shape = self._shapes.get(job.schedule)
        if shape is None:
            shape = self._shapes[job.schedule] = _shape(job.schedule)
        self._jobs[job.host] += 1
        if shape.period is not None and self._add_every(shape, shape.period, job):
            return
        span = self._whole
        if job.paused or shape.schedule.max_runs is not None:
            span = self._span(shape.schedule, job)
        own = _own(shape.schedule, job) if shape.own else None
        key = (job.schedule, own, None if span is self._whole else span)
        source = self._sources.get(key)
        if source is None:
            source = self._sources[key] = _Source(job, span, {})
        source.hosts[job.host] = source.hosts.get(job.host, 0) + 1

    def _add_every(self, shape: _Shape, period: int, job: ForecastJob) -> bool:
        """Put a job `every` so long to others like it; False where it is to be counted alone."""
        anchor = epoch_ms(job.created_at) if shape.anchor is None else shape.anchor
        spread = draw_spread(shape.spread, job.id)
        if job.paused or shape.schedule.max_runs is not None:
            return False
        if spread >= period or anchor + spread > self.low_ms:
            return False
        key: Hashable = period
        if shape.cut is None:
            anchor += spread  # sent at another instant of the period, and that is all
        else:
            key = period, shape.cut, spread, _drawn(shape.schedule, job) if shape.hashed else None
        every = self._every.get(key)
        if every is None:
            every = self._every[key] = _Every(self._shared(shape, period, job), {})
        every.phases.setdefault(job.host, []).append(anchor % period)
        return True

    def _shared(self, shape: _Shape, period: int, job: ForecastJob) -> Intervals:
        """Return where jobs that are cut as this one occur."""
        if shape.cut is None:
            return Intervals(period, self.low_ms, self.high_ms)
        timetable = compile_schedule(shape.schedule, job_id=job.id, created_at=job.created_at)
        return intervals_of(timetable, period, self._whole)

    def _span(self, schedule: Schedule, job: ForecastJob) -> Span:
        """Return the part of the window that a job fires in."""
        low = min(max(self.low_ms, job.from_ms) if job.paused else self.low_ms, self.high_ms)
        if schedule.max_runs is None:
            return Span(low, self.high_ms)
        left = max(0, schedule.max_runs - job.runs_made)
        return Span(low, self.high_ms, since=job.from_ms, most=left)

    def steps(self) -> Iterator[None]:
        """Count, and yield often enough for others to get their turn."""
        kept = {host for host, _ in self._jobs.most_common(HOSTS_MAX)}
        self._hosts = {host: array("I", bytes(4 * self._size)) for host in kept}
        for source in self._sources.values():
            schedule = self._shapes[source.job.schedule].schedule
            timetable = compile_schedule(
                schedule, job_id=source.job.id, created_at=source.job.created_at
            )
            yield from self._count(minutes_of(timetable, source.span), source.hosts)
        for every in self._every.values():
            cells = Cells(every.shared)
            for host, phases in self._few(every.phases).items():
                phases.sort()
                yield from self._count(minutes_of_intervals(every.shared, phases, cells), {host: 1})

    def _few(self, hosts: dict[str, list[int]]) -> dict[str, list[int]]:
        """Put the hosts that are not followed into one, which is in the total only."""
        few: dict[str, list[int]] = defaultdict(list)
        for host, phases in hosts.items():
            few[host if host in self._hosts else _REST] += phases
        return few

    def _count(self, found: Iterator[Counted], hosts: dict[str, int]) -> Iterator[None]:
        jobs = sum(hosts.values())
        followed = [(self._hosts[host], n) for host, n in hosts.items() if host in self._hosts]
        total, first = self._total, self._first
        for done, (minute, count) in enumerate(found, 1):
            total[minute - first] += count * jobs
            for counts, n in followed:
                counts[minute - first] += count * n
            if done % STEP == 0:
                yield
        yield

    def minutes(self) -> list[tuple[int, int]]:
        """List the minutes in which anything fires: where each begins, and how much."""
        return [
            ((self._first + index) * MINUTE_MS, count)
            for index, count in enumerate(self._total)
            if count
        ]

    def hosts(self) -> list[HostLoad]:
        """List the hosts that get anything, the busiest first."""
        loads = [HostLoad(host, sum(each), max(each)) for host, each in self._hosts.items()]
        return sorted(
            (load for load in loads if load.count), key=lambda one: (-one.count, one.host)
        )


def _shape(text: str) -> _Shape:
    schedule = msgspec.json.decode(text, type=Schedule)
    hashed = any(is_hashed(one) for one in expressions_of(schedule))
    period = None if schedule.every is UNSET else milliseconds(schedule.every)
    anchor = None if schedule.anchor is UNSET else epoch_ms(schedule.anchor)
    spread = milliseconds(schedule.spread)
    own = hashed or (period is not None and anchor is None) or spread != 0
    return _Shape(schedule, own, hashed, period, anchor, _cut(schedule), spread)


def _cut(schedule: Schedule) -> bytes | None:
    """Return what narrows a schedule, as a key that is equal where that is."""
    if schedule.start is None and schedule.end is None and not schedule.exclude:
        return None
    cut = schedule.start, schedule.end, schedule.exclude, schedule.timezone
    return msgspec.json.encode(cut)


def _own(schedule: Schedule, job: ForecastJob) -> Hashable:
    """Return what of a job decides its instants: equal ones share them."""
    if schedule.spread != "0s":
        return job.id
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        return job.created_at
    return _drawn(schedule, job)


def _drawn(schedule: Schedule, job: ForecastJob) -> Hashable:
    """Return what `H` stands for in a job's expressions."""
    return tuple(draws(text, job.id) for text in expressions_of(schedule))
