"""What the checker reads: calls as the receiver saw them, runs as the API told them, the driver's
history. Plain values; all instants are milliseconds by the database's clock. Judges nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TAIL = "tail"
MARGIN_MS = 3000.0
SETTLE_MS = 1000.0
"""An answer may wait this long to be settled; a fault meanwhile makes its outcome unknown."""
FINAL = frozenset({"succeeded", "failed", "skipped", "cancelled"})


@dataclass(frozen=True)
class Request:
    """One call as it arrived. `low` and `at_ms` bound the instant: `at_ms` is the latest it was."""

    run: str
    job: str
    attempt: int
    scheduled_ms: float
    key: str
    path: str
    at_ms: float
    ended_ms: float
    status: int | None
    """What was answered; None where the caller left before, or nothing was answered."""
    doubt_ms: float = 0.0
    real_ms: tuple[float, float] | None = None
    """Begin and end by a clock that nobody sets, to compare calls with calls."""

    @property
    def span(self) -> tuple[float, float]:
        return self.real_ms or (self.at_ms, self.ended_ms)


@dataclass(frozen=True)
class Attempt:
    """One attempt as the API tells it."""

    number: int
    outcome: str
    status_code: int | None
    replica: str | None
    started_ms: float


@dataclass(frozen=True)
class Run:
    """One row of history as the API tells it."""

    id: str
    job: str
    trigger: str
    scheduled_ms: float
    occurrences: int
    until_ms: float | None
    status: str
    reason: str | None
    attempt_count: int
    claimed_ms: float | None
    finished_ms: float | None
    replica: str | None
    attempts: Sequence[Attempt] = ()

    @property
    def lost(self) -> int:
        """How many attempts ended with their replica."""
        return sum(one.outcome == "lost" for one in self.attempts)


@dataclass(frozen=True)
class Call:
    """One API call that changes something: sent, and acknowledged or not."""

    verb: str
    job: str
    sent_ms: float
    acked_ms: float | None
    status: int | None
    schedule: Mapping[str, Any] | None = None
    path: str | None = None
    run: str | None = None
    asked: Mapping[str, Any] | None = None
    """What a create asked for and was promised: schedule and path."""

    @property
    def acknowledged(self) -> bool:
        return self.status is not None and self.status < 300


@dataclass(frozen=True)
class Job:
    """A job as it was asked for, and from when on it had occurrences."""

    id: str
    name: str
    schedule: Mapping[str, Any]
    created_ms: float
    overlap: str = "allow"
    grace_ms: float = 60_000.0
    misfire: str = "once"
    lateness_ms: float | None = None
    """The `max_lateness` that was asked for; None: the default of its policy."""


@dataclass(frozen=True)
class Fault:
    """What the driver broke, from when until when, and whose; no replica named: everybody's."""

    kind: str
    from_ms: float
    until_ms: float
    replicas: frozenset[str] = frozenset()

    def touches(self, replica: str | None, from_ms: float, until_ms: float) -> bool:
        """Tell whether it may have reached what a replica did in this time."""
        mine = not self.replicas or replica is None or replica in self.replicas
        return mine and self.from_ms <= until_ms and self.until_ms >= from_ms


@dataclass(frozen=True)
class Kept:
    """A job as the API tells it at the end."""

    schedule: Mapping[str, Any]
    path: str
    paused: bool


@dataclass(frozen=True)
class Sample:
    """What a look at the API in the middle of it all said of a run."""

    at_ms: float
    run: str
    status: str
    reason: str | None
    finished_ms: float | None


@dataclass(frozen=True)
class Stall:
    """The machine itself did not run a process that wanted to, for so long."""

    at_ms: float
    ms: float


@dataclass(frozen=True)
class Evidence:
    """All of it. `read_ms` is when the records were read: what is younger than it is not judged."""

    jobs: Sequence[Job]
    runs: Sequence[Run]
    requests: Sequence[Request]
    read_ms: float
    calls: Sequence[Call] = ()
    faults: Sequence[Fault] = ()
    samples: Sequence[Sample] = ()
    stalls: Sequence[Stall] = ()
    lease_ms: float = 15_000.0
    takes_ms: float = 0.0
    """How long a call takes, with what is called before it."""
    kept: Mapping[str, Kept] = field(default_factory=dict)
    horizon_ms: float = 0.0
    """The latest that the database's clock ever showed, where it was set back since."""

    @property
    def margin_ms(self) -> float:
        """How old an occurrence is of which the records, when they are read, tell the end."""
        return MARGIN_MS + self.takes_ms

    @property
    def seen_ms(self) -> float:
        """Up to when there may be occurrences."""
        return max(self.read_ms, self.horizon_ms)

    def tail(self, from_ms: float, until_ms: float | None = None) -> str | None:
        """Name the tail of a primary that was lost with what it had not passed on, where what
        happened then, or was settled within a second, may be in it.
        """
        until = (from_ms if until_ms is None else until_ms) + SETTLE_MS
        tails = (one for one in self.faults if one.kind == TAIL)
        return next((one.kind for one in tails if one.touches(None, from_ms, until)), None)


@dataclass(frozen=True)
class Finding:
    """One thing that is not as promised; `cause` names the fault that explains it, if one does."""

    kind: str
    why: str
    job: str | None = None
    run: str | None = None
    at_ms: float | None = None
    cause: str | None = None

    def __str__(self) -> str:
        cause = f" (explained: {self.cause})" if self.cause else ""
        return f"{self.kind}: {self.why}{cause} [job {self.job}, run {self.run}]"


@dataclass(frozen=True)
class Looked:
    """The evidence, sorted for looking up."""

    all: Evidence
    of_run: Mapping[str, Sequence[Request]] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    of_job: Mapping[str, Sequence[Run]] = field(default_factory=dict)


def looked(evidence: Evidence) -> Looked:
    """Sort requests by run and runs by job, oldest first."""
    of_run: dict[str, list[Request]] = {}
    for request in sorted(evidence.requests, key=lambda one: one.at_ms):
        of_run.setdefault(request.run, []).append(request)
    of_job: dict[str, list[Run]] = {}
    for run in sorted(evidence.runs, key=lambda one: one.scheduled_ms):
        of_job.setdefault(run.job, []).append(run)
    return Looked(evidence, of_run, {run.id: run for run in evidence.runs}, of_job)
