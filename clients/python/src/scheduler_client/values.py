"""What the service answers, as values with instants that are instants.

Words that may grow (states, reasons, outcomes) are plain strings. Whatever a class does not name
is in its `raw`, as it came.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduler_client.specs import RetrySpec, ScheduleSpec, TargetSpec

Raw = dict[str, Any]
ENDED = frozenset({"succeeded", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class JobWarning:
    """Something about a job that may surprise: a change of clocks, a missing secret."""

    code: str
    detail: str
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPause:
    """Why a job is paused, since when, until when, and by whom."""

    since: datetime
    reason: str | None = None
    until: datetime | None = None
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLastRun:
    """The newest run of a job, in short."""

    id: str
    status: str
    scheduled_for: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job. `etag` is of this very state, for `if_match`; jobs out of a list have none.

    `id` is None in a dry run. `changed` is what a PUT says.
    """

    id: str | None
    namespace: str
    name: str | None
    state: str
    revision: int
    schedule: ScheduleSpec
    target: TargetSpec
    created_at: datetime
    updated_at: datetime
    retry: RetrySpec = field(default_factory=RetrySpec)
    description: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    overlap: str = "skip"
    priority: int = 0
    pause: JobPause | None = None
    next_fire_at: datetime | None = None
    upcoming: tuple[datetime, ...] = ()
    last_run: JobLastRun | None = None
    warnings: tuple[JobWarning, ...] = ()
    changed: bool | None = None
    etag: str | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One HTTP exchange within a run; `response` has the captured headers and body."""

    number: int
    started_at: datetime
    duration_ms: float
    outcome: str
    status_code: int | None = None
    error: str | None = None
    response: Raw | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The handling of one occurrence, of a trigger, of a backfill or of a replay."""

    id: str
    job_id: str
    trigger: str
    scheduled_for: datetime
    status: str
    job_name: str | None = None
    namespace: str = "default"
    reason: str | None = None
    occurrences: int = 1
    attempt_count: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    lateness_ms: int | None = None
    duration_ms: int | None = None
    next_attempt_at: datetime | None = None
    replay_of: str | None = None
    trace_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    raw: Raw = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Tell whether nothing more becomes of it."""
        return self.status in ENDED

    @property
    def succeeded(self) -> bool:
        return self.status == "succeeded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurrence:
    """A nominal instant of a schedule, and the same in its own zone, with what is odd about it."""

    scheduled_for: datetime
    local: datetime
    note: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """Occurrences of a schedule, what it says in words, and what may surprise."""

    occurrences: tuple[Occurrence, ...]
    description: str
    warnings: tuple[JobWarning, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """What became, or will become, of an instant of a job, and by which rule."""

    at: datetime
    verdict: str
    reason: str
    detail: str
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkItem:
    """What became of one job of many: its id, or why there is none (`code`, `detail`, `errors`)."""

    index: int
    id: str | None = None
    error: Raw | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BulkCreated:
    """What became of many jobs, in their order."""

    created: int
    items: tuple[BulkItem, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What happened to a run or a job. A `gap` says that some before it is gone: read the lists."""

    name: str
    event_id: str = ""
    id: str = ""
    job_id: str = ""
    status: str = ""
    scheduled_for: datetime | None = None
    at: datetime | None = None
    raw: Raw = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_gap(self) -> bool:
        return self.name == "gap"
