"""What a claimed timer becomes: runs to send, queue or skip, and where the timer moves next.

The heart of the tick, pure: a job, its timer, its unfinished runs and `now` in; a decision out.
The timer always moves by the schedule alone, whatever else happens to the job (G7).
"""

from collections.abc import Container
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct, field, structs

from scheduler_svc.domain import misfire, overlap
from scheduler_svc.domain.deferral import Deferral
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import run_id
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.occurrences import (
    Timetable,
    compile_schedule,
    fire_at,
    last_due,
    next_after,
    spread_ms,
)
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import NOTHING, Recorded, around
from scheduler_svc.domain.runs import Trigger

NONE: Final[frozenset[UUID]] = frozenset()


class PlannedJob(Struct, frozen=True, gc=False):
    """A job as the engine holds it: decoded and compiled once per revision."""

    id: UUID
    namespace: str
    revision: int
    definition: Definition
    timetable: Timetable
    spread_ms: int
    grace_ms: int | None = None
    """How late an occurrence may be claimed and be on time, where each is one run at its own
    instant, whatever was before it. None where `spread` or `max_runs` make more of it."""


class Timer(Struct, frozen=True, gc=False):
    """When a job is next due; `scheduled_ms` is None where only its completion is left."""

    job_id: UUID
    scheduled_ms: int | None
    fire_ms: int
    revision: int
    runs_made: int


class NewRun(Struct, frozen=True):
    """A run to write: `running` goes to this replica's lease, the rest to the ledger."""

    id: UUID
    scheduled_ms: int
    fire_ms: int
    trigger: Trigger
    status: Literal["running", "due", "skipped"]
    reason: str | None = None
    queued: bool = False
    occurrences: int = 1
    until_ms: int | None = None
    deferral: Deferral | None = None
    """It waits because of its key."""


class Decision(Struct, frozen=True):
    """The end of one timer's turn."""

    job: PlannedJob
    scheduled_ms: int | None
    fire_ms: int | None
    runs_made: int
    runs: list[NewRun] = field(default_factory=list)
    cancel: list[UUID] = field(default_factory=list)
    completed: bool = False


class Deferred(Struct, frozen=True):
    """Not to be claimed ahead: look again when its instant has come."""

    fire_ms: int


def plan_job(
    job_id: UUID,
    namespace: str,
    revision: int,
    definition: Definition,
    created_at: datetime,
    *,
    timetable: Timetable | None = None,
) -> PlannedJob:
    """Compile what deciding needs of a job, its schedule too where that is not at hand."""
    if timetable is None:
        timetable = compile_schedule(definition.schedule, job_id=job_id, created_at=created_at)
    spread = spread_ms(timetable)
    simple = spread == 0 and definition.schedule.max_runs is None
    grace_ms = milliseconds(definition.misfire.grace) if simple else None
    return PlannedJob(job_id, namespace, revision, definition, timetable, spread, grace_ms)


def plain_following(job: PlannedJob, timer: Timer, now_ms: int) -> int | None:
    """Return where the timer of a job without unfinished runs moves, if all there is to decide is
    that its occurrence is sent at its instant: what `decide` says of nearly every timer, in one
    step. None where the rules have to be asked.
    """
    at, grace_ms = timer.scheduled_ms, job.grace_ms
    if at is None or grace_ms is None:
        return None
    following = job.timetable.next_after(at)
    if following is None or timer.fire_ms > now_ms:
        return following
    return following if following > now_ms and at >= now_ms - grace_ms else None


def decide(  # one fact of the timer each
    job: PlannedJob,
    timer: Timer,
    open_runs: list[OpenRun],
    *,
    now_ms: int,
    recorded: Recorded = NOTHING,
    refused: Container[UUID] = NONE,
) -> Decision | Deferred:
    """Decide one timer whose `fire_ms` is due, or due within the lookahead.

    `recorded` are the rows that its occurrences have already, where it was put back. `refused` are
    runs for which a quota has no room: they are skipped, and use up nothing of `max_runs`.
    """
    if timer.scheduled_ms is None:
        if timer.fire_ms > now_ms:
            return Deferred(timer.fire_ms)
        return Decision(job, None, None, timer.runs_made, completed=True)
    if timer.fire_ms > now_ms:
        if overlap.contending(open_runs) and job.definition.overlap != "allow":
            return Deferred(timer.fire_ms)
        run = _sent(job, timer.scheduled_ms, "schedule")
        run = by_quota(run) if run.id in refused else run
        if any(other.id == run.id for other in open_runs):
            return Deferred(timer.fire_ms)
        following = next_after(job.timetable, timer.scheduled_ms)
        runs = [] if recorded.holds(timer.scheduled_ms) else [run]
        return _move(job, timer, following, runs, [], last_ms=timer.scheduled_ms, now_ms=now_ms)
    due = misfire.judge(
        job.timetable, job.definition.misfire, first_ms=timer.scheduled_ms, now_ms=now_ms
    )
    due = around(job.timetable, due, recorded)
    return _decide_due(job, timer, due, open_runs, now_ms=now_ms, rows=recorded, refused=refused)


def _decide_due(  # one fact of the timer each
    job: PlannedJob,
    timer: Timer,
    due: misfire.Due,
    open_runs: list[OpenRun],
    *,
    now_ms: int,
    rows: Recorded,
    refused: Container[UUID],
) -> Decision:
    runs = [_ledger(job, skipped) for skipped in due.skipped]
    cancel: list[UUID] = []
    standing = list(open_runs)
    there = {other.id for other in open_runs}
    left = _runs_left(job, timer)
    last_ms = timer.scheduled_ms or 0
    over: list[int] = []
    for run in _to_send(job, due, now_ms):
        last_ms = max(last_ms, run.scheduled_ms)
        if run.id in there:
            continue  # claimed before the timer was put back, and counted
        if run.trigger == "schedule" and run.id in refused:
            runs.append(by_quota(run))
            continue
        if left is not None and left <= 0:
            over.append(run.scheduled_ms)
            continue
        made, stopped = _place(job, run, standing)
        runs.append(made)
        cancel += stopped
        if made.status != "skipped":
            left = None if left is None else left - 1
    if left is not None and left <= 0:
        runs += _beyond_max_runs(job, over, None if due.cut else due.next_ms, now_ms, rows)
    return _move(job, timer, due.next_ms, runs, cancel, last_ms=last_ms, now_ms=now_ms, cut=due.cut)


def _to_send(job: PlannedJob, due: misfire.Due, now_ms: int) -> list[NewRun]:
    """On-time work first, then what is caught up: oldest first, and at a bounded rate."""
    on_time = [_sent(job, at, "schedule") for at in due.on_time]
    late = [_sent(job, at, "catch_up") for at in due.catch_up]
    return on_time + [
        structs.replace(run, status="due", fire_ms=now_ms + turn * misfire.CATCH_UP_STEP_MS)
        for turn, run in enumerate(late)
    ]


def _place(job: PlannedJob, run: NewRun, standing: list[OpenRun]) -> tuple[NewRun, list[UUID]]:
    """Put one occurrence among the unfinished runs of its job, by the overlap policy."""
    policy = job.definition.overlap
    if run.trigger == "catch_up" and job.definition.misfire.policy == "all" and policy != "allow":
        # Each of them is wanted, and none beside another: they go one after the other.
        run = structs.replace(run, queued=bool(standing))
        standing.append(OpenRun(run.id, run.queued, behind=run.queued))
        return run, []
    verdict = overlap.judge(policy, standing)
    match verdict.then:
        case "skip":
            return structs.replace(run, status="skipped", reason="overlap"), []
        case "queue":
            run = structs.replace(run, status="due", queued=True)
        case "send":
            pass
    cancelled = list(verdict.cancel)
    standing[:] = [other for other in standing if other.id not in cancelled]
    standing.append(OpenRun(run.id, run.queued))
    return run, cancelled


def _beyond_max_runs(
    job: PlannedJob, over: list[int], next_ms: int | None, now_ms: int, rows: Recorded
) -> list[NewRun]:
    """Write down what else was due when the last run that `max_runs` allows was made."""
    stretches: list[list[int]] = []
    for at in sorted(over):
        if stretches and next_after(job.timetable, stretches[-1][-1]) == at:
            stretches[-1].append(at)
        else:
            stretches.append([at])
    spans = [(stretch[0], stretch[-1]) for stretch in stretches]
    latest = last_due(job.timetable, now_ms)
    if next_ms is not None and latest is not None:
        spans += rows.gaps(next_ms, latest)
    found = (misfire.ranges(job.timetable, low, high, "max_runs") for low, high in spans)
    return [_ledger(job, skipped) for each in found for skipped in each]


def _move(
    job: PlannedJob,
    timer: Timer,
    following: int | None,
    runs: list[NewRun],
    cancel: list[UUID],
    *,
    last_ms: int,
    now_ms: int,
    cut: bool = False,
) -> Decision:
    """Move the timer on; where nothing is left, complete the job once its last instant has come."""
    made = timer.runs_made + sum(run.status != "skipped" for run in runs)
    limit = job.definition.schedule.max_runs
    spent = limit is not None and made >= limit and not cut
    if following is None or spent:
        end_ms = fire_at(job.timetable, last_ms)
        if end_ms <= now_ms:
            return Decision(job, None, None, made, runs, cancel, completed=True)
        return Decision(job, None, end_ms, made, runs, cancel)
    return Decision(job, following, fire_at(job.timetable, following), made, runs, cancel)


def _runs_left(job: PlannedJob, timer: Timer) -> int | None:
    limit = job.definition.schedule.max_runs
    return None if limit is None else limit - timer.runs_made


def _sent(job: PlannedJob, at: int, trigger: Trigger) -> NewRun:
    return NewRun(run_id(job.id, at), at, fire_at(job.timetable, at), trigger, "running")


def by_quota(run: NewRun) -> NewRun:
    """Return the row of an occurrence for which the quota of its namespace has no room."""
    return NewRun(run.id, run.scheduled_ms, run.fire_ms, run.trigger, "skipped", reason="quota")


def _ledger(job: PlannedJob, skipped: misfire.Skipped) -> NewRun:
    """One compact row for a range; its id is that of its first occurrence."""
    return NewRun(
        run_id(job.id, skipped.first_ms),
        skipped.first_ms,
        skipped.first_ms,
        "schedule",
        "skipped",
        reason=skipped.reason,
        occurrences=skipped.count,
        until_ms=None if skipped.count == 1 else skipped.last_ms,
    )
