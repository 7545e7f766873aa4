"""A job as an answer: what is stored, and what its schedule says about the time ahead."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from scheduler_svc.api.wire import stamp, stamp_ms, stamp_or_none
from scheduler_svc.api.wire_jobs import (
    Job,
    JobLastRun,
    JobPause,
    JobPut,
    JobWarning,
    Occurrence,
)
from scheduler_svc.domain import clock_changes, jobs
from scheduler_svc.domain.clock_changes import ScheduleWarning
from scheduler_svc.domain.decide import PlannedJob, plan_job
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import Timetable, last_due, take
from scheduler_svc.domain.secrecy import masked_target

UPCOMING = 5
HOUR_MS = 3_600_000


def job_view(
    job: jobs.Job,
    *,
    now_ms: int,
    upcoming: int = UPCOMING,
    dry: bool = False,
    also: Sequence[JobWarning] = (),
    plan: PlannedJob | None = None,
) -> Job:
    """Write a job for the answer; a dry one has no id, for it was not made.

    `also` are warnings that come of more than the job itself, `plan` its plan where it is at hand.
    """
    definition, plan = job.definition, plan or planned(job)
    own = [] if job.state == "completed" else warnings(plan, now_ms)
    return Job(
        id=None if dry else job.id,
        namespace=job.namespace,
        name=definition.name,
        description=definition.description,
        labels=definition.labels,
        schedule=definition.schedule,
        target=masked_target(definition.target),
        retry=definition.retry,
        misfire=definition.misfire,
        overlap=definition.overlap,
        priority=definition.priority,
        alerts=definition.alerts,
        auto_pause_after=definition.auto_pause_after,
        delete_after_completion=definition.delete_after_completion,
        retention=definition.retention or None,
        state=job.state,
        pause=_pause(job.pause),
        next_fire_at=stamp_or_none(job.next_fire_at),
        upcoming=[stamp_ms(at) for at in coming(job, plan, now_ms=now_ms, count=upcoming)],
        last_run=_last_run(job.last_run),
        warnings=[*own, *also],
        revision=job.revision,
        created_at=stamp(job.created_at),
        updated_at=stamp(job.updated_at),
    )


def put_view(
    job: jobs.Job, *, now_ms: int, changed: bool, also: Sequence[JobWarning] = ()
) -> JobPut:
    """Write a job for the answer to a PUT."""
    view = job_view(job, now_ms=now_ms, also=also)
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return JobPut(**fields, changed=changed)


def planned(job: jobs.Job) -> PlannedJob:
    """Compile a stored job; equal schedules share the result."""
    return plan_job(job.id, job.namespace, job.revision, job.definition, job.created_at)


def coming(job: jobs.Job, plan: PlannedJob, *, now_ms: int, count: int) -> list[int]:
    """List the next occurrences: of a paused job those that its schedule goes on naming.

    An occurrence that waits for its spread is still to come.
    """
    if job.state == "completed":
        return []
    after_ms = now_ms
    if job.scheduled_for is not None:
        after_ms = epoch_ms(job.scheduled_for) - 1
        if after_ms < now_ms:
            after_ms = max(after_ms, last_due(plan.timetable, now_ms) or 0)
    return within_max_runs(job, take(plan.timetable, after_ms, count))


def within_max_runs(job: jobs.Job, occurrences: list[int]) -> list[int]:
    """Leave out what comes after the last run that `max_runs` allows."""
    limit = job.definition.schedule.max_runs
    return occurrences if limit is None else occurrences[: max(0, limit - job.runs_made)]


def warnings(plan: PlannedJob, now_ms: int) -> list[JobWarning]:
    """Name what may surprise about a schedule."""
    hour_ms = now_ms - now_ms % HOUR_MS
    found = _clock_changes(plan.timetable, hour_ms)
    if any(epoch_ms(one.at) <= now_ms for one in found):
        found = tuple(clock_changes.warnings(plan.timetable, now_ms))
    return shown_warnings(found)


def shown_warnings(found: Iterable[ScheduleWarning]) -> list[JobWarning]:
    """Write the warnings of a schedule for the answer."""
    return [JobWarning(code=one.code, detail=one.detail, at=stamp(one.at)) for one in found]


def shown_occurrences(timetable: Timetable, instants: Iterable[int]) -> list[Occurrence]:
    """Write occurrences with their local time and what is odd about it."""
    return [
        Occurrence(
            scheduled_for=stamp_ms(at),
            local=clock_changes.local(timetable, at),
            note=clock_changes.note(timetable, at),
        )
        for at in instants
    ]


@lru_cache(maxsize=8192)
def _clock_changes(timetable: Timetable, hour_ms: int) -> tuple[ScheduleWarning, ...]:
    """Look for clock changes once an hour, for the list of jobs asks again and again."""
    return tuple(clock_changes.warnings(timetable, hour_ms))


def _pause(pause: jobs.Pause | None) -> JobPause | None:
    if pause is None:
        return None
    return JobPause(
        reason=pause.reason,
        since=stamp(pause.since),
        until=stamp_or_none(pause.until),
        by=pause.by,
    )


def _last_run(run: jobs.LastRun | None) -> JobLastRun | None:
    if run is None:
        return None
    return JobLastRun(
        id=run.id,
        status=run.status,
        scheduled_for=stamp(run.scheduled_for),
        finished_at=stamp_or_none(run.finished_at),
    )
