"""Why a job did, does or will run at an instant, or not: one verdict, one rule, one sentence.

Promises an answer for every instant. What the ledger says of an occurrence wins over what the
schedule says today. Reads nothing: the caller brings the job and the ledger's row.
"""

from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.clock_changes import note
from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.describe import describe
from scheduler_svc.domain.explain_absent import Absence, absence
from scheduler_svc.domain.explain_run import HELD, Entry, told_by_ledger
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.occurrences import (
    HORIZON,
    count_between,
    fire_at,
    previous_before_or_at,
)
from scheduler_svc.domain.words import at_text

Verdict = Literal["fired", "fires", "skipped", "never"]


class Question(Struct, frozen=True, kw_only=True):
    """An instant of a job's time, and what is known of it.

    `history_ms` is where the job's ledger begins: what lies before was pruned; `archived` is the
    file that the day of the instant was written to.
    """

    job: Job
    plan: PlannedJob
    at_ms: int
    now_ms: int
    entry: Entry | None = None
    history_ms: int = 0
    held: bool = False
    """Its namespace waits for a word."""
    archived: str | None = None


class Explanation(Struct, frozen=True):
    """An answer; `run_id` names the row of the ledger, where there is one."""

    verdict: Verdict
    reason: str
    detail: str
    run_id: UUID | None = None


def explain(asked: Question) -> Explanation:
    """Say what became, or will become, of an instant."""
    entry = asked.entry
    if entry is not None:
        told = told_by_ledger(entry, asked.at_ms, now_ms=asked.now_ms)
        return Explanation(told.verdict, told.reason, told.detail, entry.id)
    if not _is_occurrence(asked):
        missing = absence(asked.plan.timetable, asked.at_ms)
        return Explanation(*_of_absence(missing))
    if fire_at(asked.plan.timetable, asked.at_ms) <= asked.now_ms:
        return _past(asked)
    return _future(asked)


def _is_occurrence(asked: Question) -> bool:
    if not 0 <= asked.at_ms <= HORIZON:
        return False
    return previous_before_or_at(asked.plan.timetable, asked.at_ms) == asked.at_ms


def _of_absence(missing: Absence) -> tuple[Verdict, str, str]:
    """What an exclusion removes is skipped by a rule; the rest was never named."""
    return ("skipped" if missing.reason == "excluded" else "never"), missing.reason, missing.detail


def _past(asked: Question) -> Explanation:
    """Answer for an occurrence that should have a row, and has none."""
    created_ms = epoch_ms(asked.job.created_at)
    if asked.at_ms <= created_ms:
        return _never("not_created", f"The job was created at {at_text(created_ms)}.")
    return _undecided(asked) or _without_row(asked)


def _undecided(asked: Question) -> Explanation | None:
    """Answer for what is due or paused: no row is written before it is claimed or resumed."""
    job = asked.job
    if job.scheduled_for is not None and epoch_ms(job.scheduled_for) <= asked.at_ms:
        if asked.held:
            return Explanation("fires", "namespace_held", HELD)
        return Explanation(
            "fires",
            "due",
            "It is due and no replica has claimed it yet; past the grace time its misfire policy,"
            f" '{job.definition.misfire.policy}', decides.",
        )
    if job.pause is not None and asked.at_ms > _recorded_until(job):
        return Explanation(
            "skipped",
            "paused",
            f"The job is paused{_because(job)}; resuming it writes this to the ledger, as skipped"
            " unless told to catch up.",
        )
    spent = job.definition.schedule.max_runs is not None and job.state == "completed"
    if spent and asked.at_ms >= asked.history_ms:  # else one of its runs may have been then
        return Explanation("skipped", "max_runs", _spent(job))
    return None


def _without_row(asked: Question) -> Explanation:
    if asked.at_ms < asked.history_ms:
        told = f"History of the job begins at {at_text(asked.history_ms)}; this was pruned"
        where = (
            "" if asked.archived is None else f", and its day is in the archive, {asked.archived}"
        )
        return _never("pruned", f"{told}{where}.")
    updated_ms = epoch_ms(asked.job.updated_at)
    if asked.at_ms <= updated_ms:
        return _never(
            "edited",
            "The schedule names it today, but did not then: the job was last changed at"
            f" {at_text(updated_ms)}.",
        )
    if asked.job.state == "completed":
        return _never("completed", "The job had completed by then: no occurrence was left.")
    return _never("no_record", "The ledger holds nothing of this instant.")


def _future(asked: Question) -> Explanation:
    job, at = asked.job, asked.at_ms
    if job.state == "completed":
        if job.definition.schedule.max_runs is not None:
            return Explanation("skipped", "max_runs", _spent(job))
        return _never("completed", "The job has completed: nothing of it runs any more.")
    if job.pause is not None and not _resumed_by(job, at):
        return Explanation(
            "skipped",
            "paused",
            f"The job is paused{_because(job)}; unless it is resumed before, this is skipped.",
        )
    if _beyond_max_runs(asked):
        return Explanation("skipped", "max_runs", _spent(job))
    return _fires(asked)


def _fires(asked: Question) -> Explanation:
    """Name the rule that makes it fire, and what may still keep it from being sent."""
    job, timetable = asked.job, asked.plan.timetable
    parts = [f"The schedule names it: {describe(job.definition.schedule)}."]
    if (odd := note(timetable, asked.at_ms)) is not None:
        parts.append(f"Note: {odd}.")
    if timetable.spread:
        sent = at_text(fire_at(timetable, asked.at_ms))
        parts.append(f"Its spread has it sent at {sent}.")
    match job.definition.overlap:
        case "skip":
            parts.append("Should a run of the job be unfinished then, it is skipped (overlap).")
        case "queue":
            parts.append("Should a run of the job be unfinished then, it waits for its end.")
        case "cancel":
            parts.append("Should a run of the job be unfinished then, that one is cancelled.")
        case "allow":
            pass
    return Explanation("fires", _kind(job), " ".join(parts))


def _kind(job: Job) -> str:
    schedule = job.definition.schedule
    return next(name for name in ("cron", "every", "at") if getattr(schedule, name))


def _beyond_max_runs(asked: Question) -> bool:
    """True when the runs that are left go to occurrences before this one."""
    job = asked.job
    limit = job.definition.schedule.max_runs
    if limit is None:
        return False
    begin = asked.now_ms if job.scheduled_for is None else epoch_ms(job.scheduled_for) - 1
    left = max(0, limit - job.runs_made)
    return count_between(asked.plan.timetable, begin, asked.at_ms, left + 1)[0] > left


def _recorded_until(job: Job) -> int:
    if job.pause is None:
        return 0
    return epoch_ms(job.pause.recorded_until or job.pause.since)


def _resumed_by(job: Job, at_ms: int) -> bool:
    until = None if job.pause is None else job.pause.until
    return until is not None and epoch_ms(until) <= at_ms


def _because(job: Job) -> str:
    pause = job.pause
    if pause is None:
        return ""
    reason = "" if pause.reason is None else f" ({pause.reason})"
    until = "" if pause.until is None else f" until {at_text(epoch_ms(pause.until))}"
    return f" since {at_text(epoch_ms(pause.since))}{until}{reason}"


def _spent(job: Job) -> str:
    limit = job.definition.schedule.max_runs
    return f"max_runs allows {limit} runs, {job.runs_made} were made; none is left for this one."


def _never(reason: str, detail: str) -> Explanation:
    return Explanation("never", reason, detail)
