"""How a run looks from outside (DESIGN, "The run")."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.domain import deferral as deferrals
from scheduler_svc.domain import runs
from scheduler_svc.domain.deferral import Reason
from scheduler_svc.domain.runs import (
    AttemptOutcome,
    CapturedResponse,
    CompletionStatus,
    RunStatus,
    Timing,
    Trigger,
)


class Attempt(Struct, frozen=True, kw_only=True):
    """One HTTP exchange within a run, numbered from 1."""

    number: int
    started_at: Stamp
    duration_ms: float
    outcome: AttemptOutcome
    status_code: int | None
    error: str | None
    response: CapturedResponse | None
    timing: Timing | None
    replica: UUID | None


class Deferral(Struct, frozen=True, kw_only=True):
    """Why a run waits, or waited, because of its concurrency key; `until` null: it waits."""

    reason: Reason
    key: str | None
    count: Annotated[int, Meta(description="How often it was set aside; 0: not late yet.")]
    since: Stamp
    until: Stamp | None


class Completion(Struct, frozen=True, kw_only=True):
    """Of a run whose target reports its end: until when it may, and what it has reported."""

    until: Stamp | None
    status: CompletionStatus | None
    detail: str | None


class Run(Struct, frozen=True, kw_only=True):
    """The handling of one occurrence, of a trigger or of a replay; or a row of skipped ones."""

    id: UUID
    job_id: UUID
    job_name: str | None
    namespace: str
    trace_id: Annotated[
        str, Meta(description="Of the trace that all its attempts belong to: its id, as hex.")
    ]
    trigger: Trigger
    scheduled_for: Stamp
    occurrences: int
    scheduled_until: Stamp | None
    status: RunStatus
    reason: str | None
    attempt_count: int
    replay_of: UUID | None
    backfill_id: UUID | None
    claimed_at: Stamp | None
    started_at: Stamp | None
    finished_at: Stamp | None
    lateness_ms: int | None
    duration_ms: int | None
    next_attempt_at: Stamp | None
    replica: UUID | None
    replay_id: UUID | None
    completion: Completion | None
    attempts: list[Attempt]
    deferral: Deferral | None


class RunReplays(Struct, frozen=True, kw_only=True):
    """How often a run was sent again, and what became of that; the rest was called off."""

    count: int
    succeeded: int
    failed: int
    unfinished: int


class RunDetail(Run, frozen=True, kw_only=True):
    """A run, and the replays of it: `GET /runs?replay_of=` lists them."""

    replays: RunReplays


class RunList(Struct, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    items: list[Run]
    next_cursor: NextCursor


def run_view(run: runs.Run) -> Run:
    """Write a run for the answer."""
    return Run(
        id=run.id,
        job_id=run.job_id,
        job_name=run.job_name,
        namespace=run.namespace,
        trace_id=run.id.hex,
        trigger=run.trigger,
        scheduled_for=stamp(run.scheduled_for),
        occurrences=run.occurrences,
        scheduled_until=stamp_or_none(run.scheduled_until),
        status=run.status,
        reason=run.reason,
        attempt_count=run.attempt_count,
        replay_of=run.replay_of,
        backfill_id=run.backfill_id,
        claimed_at=stamp_or_none(run.claimed_at),
        started_at=stamp_or_none(run.started_at),
        finished_at=stamp_or_none(run.finished_at),
        lateness_ms=run.lateness_ms,
        duration_ms=run.duration_ms,
        next_attempt_at=stamp_or_none(run.next_attempt_at),
        replica=run.replica,
        replay_id=run.replay_id,
        completion=_completion(run),
        attempts=[_attempt(one) for one in run.attempts],
        deferral=None if run.deferral is None else _deferral(run.deferral),
    )


def _deferral(deferral: deferrals.Deferral) -> Deferral:
    return Deferral(
        reason=deferral.reason,
        key=deferral.key,
        count=deferral.count,
        since=stamp(deferral.since),
        until=stamp_or_none(deferral.until),
    )


def _completion(run: runs.Run) -> Completion | None:
    if run.completion_until is None and run.completion_status is None:
        return None
    return Completion(
        until=stamp_or_none(run.completion_until),
        status=run.completion_status,
        detail=run.completion_detail,
    )


def _attempt(attempt: runs.Attempt) -> Attempt:
    return Attempt(
        number=attempt.number,
        started_at=stamp(attempt.started_at),
        duration_ms=attempt.duration_ms,
        outcome=attempt.outcome,
        status_code=attempt.status_code,
        error=attempt.error,
        response=attempt.response,
        timing=attempt.timing,
        replica=attempt.replica,
    )
