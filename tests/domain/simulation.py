"""A job's whole life under a hand-held clock: ticks, outages, pauses, edits, triggers, restarts.

The moves are the domain's own functions, put together as the engine and the API do; what the store
would keep is kept here in lists, so that two years take a moment. It judges nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

import msgspec

from factories import definition
from scheduler_svc.domain import overlap
from scheduler_svc.domain.arming import Missed, arm, passed_while_paused, rearm, resume
from scheduler_svc.domain.decide import Deferred, NewRun, PlannedJob, Timer, decide, plan_job
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.overlap import OpenRun

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
LOOKAHEAD = 1000
NEVER = 2**62
Span = tuple[int, int]


@dataclass
class Row:
    """A row of the ledger, and when it went out."""

    run: NewRun
    sent_ms: int | None = None
    ends_ms: int | None = None
    status: str = "due"


@dataclass
class Epoch:
    """A stretch of a job's life under one schedule: occurrences in (from, until]."""

    schedule: dict[str, Any]
    from_ms: int
    until_ms: int


@dataclass
class Life:
    """One job, and what the store holds of it."""

    id: UUID
    made: dict[str, Any]
    created_ms: int
    draw: Random
    outages: list[Span]
    plan: PlannedJob = field(init=False)
    scheduled_ms: int | None = None
    fire_ms: int | None = None
    runs_made: int = 0
    state: str = "active"
    until_ms: int | None = None
    recorded_ms: int = 0
    rows: dict[UUID, Row] = field(default_factory=dict)
    open: list[OpenRun] = field(default_factory=list)
    manual: dict[UUID, int] = field(default_factory=dict)
    epochs: list[Epoch] = field(default_factory=list)
    pauses: list[Span] = field(default_factory=list)
    moves: int = 0
    deferred: tuple[int, int] | None = None
    """A timer that is not decided ahead, by its instant, and when it is."""

    def __post_init__(self) -> None:
        self.learn()
        self.epochs.append(Epoch(self.made["schedule"], self.created_ms, NEVER))
        self._stand(self.created_ms)

    def learn(self) -> None:
        """Read the definition anew, as a replica does that starts."""
        read = msgspec.json.decode(
            msgspec.json.encode(definition(**self.made)), type=type(definition())
        )
        self.plan = plan_job(self.id, "default", 1, read, instant_at(self.created_ms))

    def _stand(self, after_ms: int) -> None:
        armed = arm(self.plan, after_ms=after_ms, runs_made=self.runs_made)
        self.scheduled_ms = None if armed is None else armed.scheduled_ms
        self.fire_ms = None if armed is None else armed.fire_ms
        self.state = "completed" if armed is None else "active"

    def next_tick(self, now: int) -> int:
        """Return when a replica next looks at the timer: up to the lookahead early."""
        if self.fire_ms is None:
            return NEVER
        at = max(now, self.fire_ms - self.draw.choice([0, 0, 300, LOOKAHEAD]))
        if self.deferred is not None and self.deferred[0] == self.fire_ms:
            at = max(at, self.deferred[1])
        for begin, end in self.outages:
            if begin <= at < end:
                return end
        return at

    def tick(self, now: int) -> None:
        """Decide the timer; what is not to be claimed ahead is decided at its instant."""
        self.moves += 1
        self.elapse(now)
        if self.fire_ms is None:
            return
        if self.state == "paused":
            self._end_pause(max(now, self.fire_ms))
            return
        timer = Timer(self.id, self.scheduled_ms, self.fire_ms, 1, self.runs_made)
        told = decide(self.plan, timer, self.open, now_ms=now)
        if isinstance(told, Deferred):
            # Nothing is decided before its instant: until then a hand may meddle.
            self.deferred = self.fire_ms, told.fire_ms
            return
        self.write(told.runs, now)
        self.cancel(told.cancel)
        self.scheduled_ms, self.fire_ms = told.scheduled_ms, told.fire_ms
        self.runs_made = told.runs_made
        if told.completed:
            self.state = "completed"

    def write(self, runs: list[NewRun], now: int) -> None:
        """Put rows into the ledger: an id can not be there twice."""
        for run in runs:
            assert run.id not in self.rows
            row = self.rows[run.id] = Row(run)
            if run.status == "skipped":
                row.status = "skipped"
                continue
            behind = run.queued and run.trigger == "catch_up"
            self.open.append(OpenRun(run.id, run.queued, behind))
            if not run.queued:
                self._send(row, max(now, run.fire_ms))

    def _send(self, row: Row, at: int) -> None:
        lasts = self.draw.choice([20, 400, 5 * SECOND, 40 * SECOND, self.draw.randrange(3 * HOUR)])
        row.sent_ms, row.ends_ms, row.status = at, at + lasts, "sent"

    def cancel(self, ids: list[UUID]) -> None:
        self.open = [one for one in self.open if one.id not in ids]
        for each in ids:
            self.manual.pop(each, None)

    def elapse(self, now: int) -> None:
        """Let runs end, and those that wait in line take their turn."""
        while self.open:
            standing = [one for one in self.open if not one.queued]
            ends = {one.id: self._ends(one.id) for one in standing}
            if standing and min(ends.values()) > now:
                return
            at = min(ends.values(), default=now)
            self.open = [one for one in self.open if ends.get(one.id, NEVER) > at]
            waiting = [one for one in self.open if one.queued]
            if waiting and len(waiting) == len(self.open):
                first = min(waiting, key=lambda one: (one.behind, self._of(one).scheduled_ms))
                self.open[self.open.index(first)] = OpenRun(first.id, queued=False)
                self._send(self.rows[first.id], max(at, self._of(first).fire_ms))

    def _ends(self, run: UUID) -> int:
        ends = self.rows[run].ends_ms if run in self.rows else self.manual[run]
        assert ends is not None
        return ends

    def _of(self, one: OpenRun) -> NewRun:
        return self.rows[one.id].run

    def take_back(self, now: int) -> int | None:
        """Take back what was claimed ahead and not sent; return the first such occurrence."""
        unsent = [
            row.run
            for row in self.rows.values()
            if row.run.trigger == "schedule" and row.sent_ms is not None and row.sent_ms > now
        ]
        for run in unsent:
            del self.rows[run.id]
            self.runs_made -= 1
        self.open = [one for one in self.open if one.id not in {run.id for run in unsent}]
        return min((run.scheduled_ms for run in unsent), default=self.scheduled_ms)

    def pause(self, now: int, until_ms: int | None) -> None:
        if self.state != "active":
            return
        self.elapse(now)
        next_ms = self.take_back(now)
        self.recorded_ms = now if next_ms is None else min(now, next_ms - 1)
        self.state, self.scheduled_ms, self.fire_ms = "paused", None, until_ms
        self.pauses.append((self.recorded_ms, NEVER))

    def resume(self, now: int, missed: Missed) -> None:
        if self.state == "paused":
            self.elapse(now)
            self._resume(now, missed, now)

    def _end_pause(self, now: int) -> None:
        assert self.fire_ms is not None
        self._resume(self.fire_ms - 1, "skip", now)

    def _resume(self, passed_ms: int, missed: Missed, now: int) -> None:
        ended = resume(
            self.plan,
            missed,
            after_ms=self.recorded_ms,
            now_ms=passed_ms,
            runs_made=self.runs_made,
            busy=bool(self.open),
        )
        self.pauses[-1] = (self.pauses[-1][0], max(passed_ms, self.recorded_ms))
        self.write(ended.runs, now)
        self.runs_made = ended.runs_made
        following = ended.following
        self.scheduled_ms = None if following is None else following.scheduled_ms
        self.fire_ms = None if following is None else following.fire_ms
        self.state = "completed" if following is None else "active"

    def edit(self, now: int, schedule: dict[str, Any]) -> None:
        """Give the job another schedule: what was due is decided by the old one first."""
        if self.state == "completed":
            return
        self.elapse(now)
        pending = self.take_back(now)
        old, self.made = self.plan, {**self.made, "schedule": schedule}
        if self.state == "paused":
            missed = passed_while_paused(
                old, "skip", after_ms=self.recorded_ms, now_ms=now,
                runs_made=self.runs_made, busy=False,
            )  # fmt: skip
            self.write(missed, now)
            self.recorded_ms = now
            self.learn()
        else:
            if self.fire_ms is not None and self.fire_ms <= now and self.scheduled_ms is not None:
                timer = Timer(self.id, self.scheduled_ms, self.fire_ms, 1, self.runs_made)
                due = decide(old, timer, self.open, now_ms=now)
                assert not isinstance(due, Deferred)
                self.write(due.runs, now)
                self.cancel(due.cancel)
                self.runs_made = due.runs_made
            self.learn()
            armed = rearm(self.plan, pending_ms=pending, now_ms=now, runs_made=self.runs_made)
            self.scheduled_ms = None if armed is None else armed.scheduled_ms
            self.fire_ms = None if armed is None else armed.fire_ms
            self.state = "completed" if armed is None else "active"
        self.epochs[-1].until_ms = now
        self.epochs.append(Epoch(schedule, now, NEVER))

    def trigger(self, now: int) -> None:
        """Run beside the cadence, where the policy lets it."""
        self.elapse(now)
        verdict = overlap.judge(self.plan.definition.overlap, self.open)
        if verdict.then == "send":
            self.cancel(list(verdict.cancel))
            run = UUID(int=self.draw.getrandbits(128))
            self.manual[run] = now + self.draw.randrange(2 * HOUR)
            self.open.append(OpenRun(run, queued=False))

    def restart(self) -> None:
        """Another replica takes over: it knows nothing but what is stored."""
        self.learn()


def utc(ms: int) -> datetime:
    return instant_at(ms)
