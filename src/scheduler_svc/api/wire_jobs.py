"""How a job looks from outside (DESIGN, "The job"), and what its verbs take."""

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Raw, Struct, field

from scheduler_svc.api.wire import NextCursor, Stamp
from scheduler_svc.domain.arming import Missed
from scheduler_svc.domain.jobs import (
    Alerts,
    JobState,
    Labels,
    Misfire,
    Name,
    Overlap,
    Retry,
    Target,
)
from scheduler_svc.domain.retention import Retention
from scheduler_svc.domain.schedule import Instant, Schedule

READ_ONLY = frozenset(
    {
        "id",
        "namespace",
        "state",
        "pause",
        "next_fire_at",
        "upcoming",
        "last_run",
        "warnings",
        "revision",
        "created_at",
        "updated_at",
        "changed",
    }
)
UNSAID = Raw(b"")
"""A body that was not given; a given null is `Raw(b"null")`."""


class JobWarning(Struct, frozen=True, kw_only=True):
    """Something about a job that may surprise; `at` is when, where it has an instant."""

    code: Literal["dst_gap", "dst_overlap", "unsigned", "herd"]
    detail: str
    at: Stamp | None = None


class JobPause(Struct, frozen=True, kw_only=True):
    """Why a job is paused, since when, until when, and by whom: null without an API key."""

    reason: str | None
    since: Stamp
    until: Stamp | None
    by: str | None


class JobLastRun(Struct, frozen=True, kw_only=True):
    """The newest run of a job, in short."""

    id: UUID
    status: str
    scheduled_for: Stamp
    finished_at: Stamp | None


class Job(Struct, frozen=True, kw_only=True):
    """A job. `upcoming` holds its next five occurrences, 20 in a dry run."""

    id: UUID | None
    namespace: str
    name: Name | None
    description: str
    labels: Labels
    schedule: Schedule
    target: Target
    retry: Retry
    misfire: Misfire
    overlap: Overlap
    priority: int
    alerts: Alerts
    auto_pause_after: int
    delete_after_completion: bool
    retention: Retention | None
    state: JobState
    pause: JobPause | None
    next_fire_at: Stamp | None
    upcoming: list[Stamp]
    last_run: JobLastRun | None
    warnings: list[JobWarning]
    revision: int
    created_at: Stamp
    updated_at: Stamp


class JobPut(Job, frozen=True, kw_only=True):
    """A job after a PUT, and whether that changed it."""

    changed: bool


class JobList(Struct, frozen=True, kw_only=True):
    """A page of jobs."""

    items: list[Job]
    next_cursor: NextCursor


class JobPauseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why to pause; `until`, a coming instant, ends the pause by itself."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None
    until: Instant | None = None


class JobResumeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of the occurrences that passed: skipped, one of them caught up, or all."""

    missed: Missed = "skip"


class JobTriggerRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this run alone does differently: `body` replaces, `headers` merge."""

    body: Annotated[Raw, Meta(description="Any JSON value; null sends none.")] = field(
        default_factory=lambda: UNSAID
    )
    headers: Annotated[dict[str, str], Meta(max_length=50)] = {}
    overlap: Annotated[
        Overlap | None, Meta(description="The policy for this run, instead of the job's.")
    ] = None


class Occurrence(Struct, frozen=True, kw_only=True):
    """A nominal instant of a schedule, in UTC and in its own zone, with what is odd about it."""

    scheduled_for: Stamp
    local: Annotated[str, Meta(examples=["2026-01-05T09:00:00+01:00"])]
    note: str | None


class Preview(Struct, frozen=True, kw_only=True):
    """Occurrences of a schedule, what it says in words, and what may surprise."""

    occurrences: list[Occurrence]
    description: str
    warnings: list[JobWarning]


class PreviewRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule to look at: `count` occurrences strictly after `from`, which is now by default."""

    schedule: Schedule
    from_: Instant | None = field(name="from", default=None)
    count: Annotated[int, Meta(ge=1, le=1000)] = 10


class PerDay(Struct, frozen=True, kw_only=True):
    """Runs a day, averaged over the next four weeks."""

    before: float
    after: float


class JobComparison(Struct, frozen=True, kw_only=True):
    """What a change would do to a job's occurrences: the next 20 before and after."""

    before: list[Occurrence]
    after: list[Occurrence]
    per_day: PerDay
