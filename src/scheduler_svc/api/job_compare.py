"""The dry run of a change: occurrences before and after, side by side."""

from msgspec import structs

from scheduler_svc.api.job_view import coming, planned, shown_occurrences
from scheduler_svc.api.wire_jobs import JobComparison, Occurrence, PerDay
from scheduler_svc.domain.jobs import Definition, Job
from scheduler_svc.domain.occurrences import SearchTooLong, count_between

SHOWN = 20
DAYS = 28
HOUR_MS = 3_600_000
HOURS, DAY_MS = 24, 24 * HOUR_MS
COUNT_MAX = 50_000_000
STRETCHES_MAX = 4_000
"""Counting these takes a twentieth of a second or so, for which everything else waits."""


def comparison(
    before: Job | None, after: Job | None, *, now_ms: int, count: int = SHOWN
) -> JobComparison:
    """Compare a job as it is with the job as it would be; None where there is none."""
    return JobComparison(
        before=[] if before is None else _next(before, now_ms, count),
        after=[] if after is None else _next(after, now_ms, count),
        per_day=PerDay(
            before=0.0 if before is None else _per_day(before, now_ms),
            after=0.0 if after is None else _per_day(after, now_ms),
        ),
    )


def would_be(job: Job, definition: Definition) -> Job:
    """Return a job as an edit would leave it, as far as its occurrences go."""
    if job.definition.schedule == definition.schedule:
        return structs.replace(job, definition=definition)
    state = "paused" if job.state == "paused" else "active"
    return structs.replace(job, definition=definition, scheduled_for=None, state=state)


def _next(job: Job, now_ms: int, count: int) -> list[Occurrence]:
    plan = planned(job)
    return shown_occurrences(plan.timetable, coming(job, plan, now_ms=now_ms, count=count))


def _per_day(job: Job, now_ms: int) -> float:
    """Average over four weeks, so that weekly schedules show too."""
    if job.state == "completed":
        return 0.0
    plan = planned(job)
    try:
        until_ms = now_ms + DAYS * DAY_MS
        count, _, _ = count_between(plan.timetable, now_ms, until_ms, COUNT_MAX, STRETCHES_MAX)
    except SearchTooLong:  # as often as that it fires in an hour as in another
        count, _, _ = count_between(plan.timetable, now_ms, now_ms + HOUR_MS, COUNT_MAX)
        count *= HOURS * DAYS
    limit = job.definition.schedule.max_runs
    left = count if limit is None else min(count, max(0, limit - job.runs_made))
    return round(left / DAYS, 4)
