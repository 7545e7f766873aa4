"""What a run is: its states, the moves allowed between them, and its record.

    due -> running     claim: a replica takes the lease, the attempt number is raised
    running -> due     retry, rescue, give back
    running            also without a replica: its target took it and has yet to report its end
    running, due -> succeeded, failed, skipped, cancelled: final, nothing leaves them

The database repeats the rule that final states are final: every write names the state it expects.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.deferral import Deferral

RunStatus = Literal["due", "running", "succeeded", "failed", "skipped", "cancelled"]
Trigger = Literal["schedule", "manual", "backfill", "catch_up", "replay", "alert"]
CompletionStatus = Literal["succeeded", "failed"]
AttemptOutcome = Literal[
    "ok",
    "http_error",
    "protocol_error",
    "timeout",
    "connect_error",
    "tls_error",
    "blocked",
    "too_large",
    "lost",
    "superseded",
    "cancelled",
]
BACKGROUND: frozenset[str] = frozenset({"catch_up", "backfill"})
"""Runs of the past: claimed after all on-time work, and never in more than a share of the slots."""
BACKGROUND_BELOW = -100
"""Background runs rank below the lowest priority that a job may have."""
_BACKGROUND_STEP = 1000
UNFINISHED: frozenset[str] = frozenset({"due", "running"})
MOVES: dict[str, frozenset[str]] = {
    "due": frozenset({"running", "failed", "skipped", "cancelled"}),
    "running": frozenset({"due", "succeeded", "failed", "cancelled"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "skipped": frozenset(),
    "cancelled": frozenset(),
}


def rank(priority: int, trigger: Trigger) -> int:
    """Return the priority that a run is claimed by: a job's own, or below that of any job."""
    return priority - _BACKGROUND_STEP if trigger in BACKGROUND else priority


class Timing(Struct, frozen=True, kw_only=True, gc=False):
    """Milliseconds that each phase of an attempt took; null where it did not happen."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


class CapturedResponse(Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of a response: a body that is no text is in `body_base64`."""

    headers: dict[str, str]
    body: str | None = None
    body_base64: str | None = None
    truncated: bool = False
    omitted: str | None = None
    """Why the body is not kept, where it could not be redacted."""


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """One HTTP exchange within a run, numbered from 1."""

    number: int
    started_at: datetime
    duration_ms: float
    outcome: AttemptOutcome
    status_code: int | None = None
    error: str | None = None
    response: CapturedResponse | None = None
    timing: Timing | None = None
    replica: UUID | None = None


class AlertCall(Struct, frozen=True, kw_only=True):
    """All that an alert needs to be sent: nothing of it is its job's to change."""

    url: str
    namespace: str
    job_name: str | None
    event: str
    """A CloudEvent in structured mode, as JSON text."""


class Overrides(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a trigger changes for its run alone: headers merge, the body replaces.

    A run with the trigger `alert` has its whole call here.
    """

    headers: dict[str, str] | None = None
    body: str | None = None
    """The replacing body as JSON text; null keeps the job's."""
    alert: AlertCall | None = None
    request: str | None = None
    """The `traceparent` of the request that asked for the run, where that was traced."""


class Run(Struct, frozen=True, kw_only=True):
    """The record of one run (DESIGN, "The run")."""

    id: UUID
    job_id: UUID
    job_name: str | None
    namespace: str
    trigger: Trigger
    scheduled_for: datetime
    occurrences: int
    scheduled_until: datetime | None
    status: RunStatus
    reason: str | None
    attempt_count: int
    replay_of: UUID | None
    backfill_id: UUID | None
    claimed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    lateness_ms: int | None
    duration_ms: int | None
    next_attempt_at: datetime | None
    replica: UUID | None
    attempts: list[Attempt]
    deferral: Deferral | None = None
    replay_id: UUID | None = None
    completion_until: datetime | None = None
    completion_status: CompletionStatus | None = None
    completion_detail: str | None = None

    @property
    def awaits(self) -> bool:
        """Tell whether its target took it and has yet to report its end."""
        return self.status == "running" and self.completion_until is not None
