"""What jobs will do in a stretch of time: the tick's own decisions under a clock that only counts.

Promises the runs that the engine would make where it is always there but in the outages, every run
ends well after its job's duration, and nothing holds it up: no slots, keys, quotas or holds. An
attempt under way in an outage ends with it at the earliest. Sends nothing, stores nothing. Pure.
"""

import heapq
from collections.abc import Iterator, Sequence
from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.arming import arm
from scheduler_svc.domain.decide import Deferred, NewRun, PlannedJob, Timer, decide
from scheduler_svc.domain.overlap import OpenRun

Span = tuple[int, int]
"""From, inclusive, and to, exclusive, in epoch milliseconds."""
What = Literal["sent", "ended", "queued", "skipped", "cancelled"]
_END, _TIMER, _SEND = 0, 1, 2
"""What comes first where several things happen at once: an end makes room for what is due."""


class SimulatedJob(Struct, frozen=True):
    """A job, from when on it is there, and how long its runs take."""

    plan: PlannedJob
    duration_ms: int
    since_ms: int = 0


class Happening(Struct, frozen=True):
    """What became of a run, and when; `beside` counts the runs of its job that it went beside."""

    job: int
    run: NewRun
    what: What
    at_ms: int
    beside: int = 0
    was_sent: bool = False
    """Of a cancelled one: whether it was under way."""


class _Standing(Struct):
    """An unfinished run."""

    run: NewRun
    queued: bool
    behind: bool
    sent_ms: int | None = None


class _Life(Struct):
    """What the store would hold of one job."""

    job: SimulatedJob
    scheduled_ms: int | None
    runs_made: int = 0
    open: dict[UUID, _Standing] = {}

    def standing(self) -> list[OpenRun]:
        return [OpenRun(one.run.id, one.queued, one.behind) for one in self.open.values()]


def simulate(
    jobs: Sequence[SimulatedJob], *, from_ms: int, to_ms: int, outages: Sequence[Span] = ()
) -> Iterator[Happening]:
    """Yield what happens in [from, to), in order; at the beginning nothing is under way."""
    return _World(jobs, from_ms, to_ms, sorted(outages)).happen()


class _World:
    def __init__(
        self, jobs: Sequence[SimulatedJob], from_ms: int, to_ms: int, outages: Sequence[Span]
    ) -> None:
        self._to_ms = to_ms
        self._outages = outages
        self._coming: list[tuple[int, int, int, int, UUID | None]] = []
        self._told: list[Happening] = []
        self._count = 0
        self._lives = [_Life(job, None) for job in jobs]
        for number, life in enumerate(self._lives):
            since = max(from_ms, life.job.since_ms)
            armed = arm(life.job.plan, after_ms=since - 1, runs_made=0)
            if armed is not None:
                life.scheduled_ms = armed.scheduled_ms
                self._plan(armed.fire_ms, _TIMER, number)

    def happen(self) -> Iterator[Happening]:
        """Go from one thing to the next."""
        while self._coming:
            at, what, _, number, run = heapq.heappop(self._coming)
            if at >= self._to_ms:
                return
            later = self._there_again(at)
            if later != at:
                self._plan(later, what, number, run)
                continue
            if run is None:
                self._tick(number, at)
            elif what == _END:
                self._end(number, run, at)
            else:
                self._send(number, run, at)
            yield from self._told
            self._told.clear()

    def _plan(self, at: int, what: int, number: int, run: UUID | None = None) -> None:
        self._count += 1
        heapq.heappush(self._coming, (at, what, self._count, number, run))

    def _there_again(self, at: int) -> int:
        """Return an instant, or the end of the outage that it falls into."""
        for begin, end in self._outages:
            if begin <= at < end:
                at = end
        return at

    def _tell(self, number: int, run: NewRun, what: What, at: int) -> None:
        self._told.append(Happening(number, run, what, at))

    def _tick(self, number: int, at: int) -> None:
        """Decide a timer whose instant has come, as a pass does."""
        life = self._lives[number]
        timer = Timer(life.job.plan.id, life.scheduled_ms, at, 1, life.runs_made)
        told = decide(life.job.plan, timer, life.standing(), now_ms=at)
        if isinstance(told, Deferred):  # only what is claimed ahead is put off
            raise TypeError("a timer that is due was put off")
        for cancelled in told.cancel:
            one = life.open.pop(cancelled, None)
            if one is not None:  # else it was made in this very pass
                sent = one.sent_ms is not None
                self._told.append(Happening(number, one.run, "cancelled", at, was_sent=sent))
        gone = set(told.cancel)
        for run in told.runs:
            self._write(number, life, run, at, cancelled=run.id in gone)
        life.scheduled_ms, life.runs_made = told.scheduled_ms, told.runs_made
        if told.fire_ms is not None and not told.completed:
            self._plan(max(told.fire_ms, at), _TIMER, number)

    def _write(self, number: int, life: _Life, run: NewRun, at: int, *, cancelled: bool) -> None:
        if run.status == "skipped":
            self._tell(number, run, "skipped", at)
            return
        if cancelled:
            self._tell(number, run, "cancelled", at)
            return
        behind = run.queued and run.trigger == "catch_up"
        life.open[run.id] = _Standing(run, run.queued, behind)
        if run.queued:
            self._tell(number, run, "queued", at)
        elif run.fire_ms > at:
            self._plan(run.fire_ms, _SEND, number, run.id)
        else:
            self._send(number, run.id, at)

    def _send(self, number: int, run: UUID, at: int) -> None:
        life = self._lives[number]
        one = life.open.get(run)
        if one is None:
            return  # cancelled meanwhile
        beside = sum(other.sent_ms is not None for other in life.open.values())
        one.sent_ms = at
        self._told.append(Happening(number, one.run, "sent", at, beside))
        self._plan(at + life.job.duration_ms, _END, number, run)

    def _end(self, number: int, run: UUID, at: int) -> None:
        """End a run, and let the one go that waits behind it where nothing else stands before."""
        life = self._lives[number]
        one = life.open.pop(run, None)
        if one is None:
            return
        self._tell(number, one.run, "ended", at)
        if not life.open or any(not other.queued for other in life.open.values()):
            return
        first = min(
            life.open.values(),
            key=lambda other: (other.run.trigger == "catch_up", other.run.scheduled_ms),
        )
        first.queued = first.behind = False
        if first.run.fire_ms > at:
            self._plan(first.run.fire_ms, _SEND, number, first.run.id)
        else:
            self._send(number, first.run.id, at)
