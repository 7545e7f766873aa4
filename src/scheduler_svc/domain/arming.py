"""Where a job's timer stands after someone created, edited, paused or resumed it.

Promises that a change never fires at once and never loses an occurrence: what lies behind becomes
rows of the ledger, what lies ahead the timer. The tick's own moves are in `decide`.
"""

from typing import Literal

from msgspec import UNSET, Struct, structs

from scheduler_svc.domain.decide import NewRun, PlannedJob
from scheduler_svc.domain.ids import epoch_ms, run_id
from scheduler_svc.domain.jobs import Pause
from scheduler_svc.domain.misfire import CATCH_UP_MAX, CATCH_UP_STEP_MS, COUNT_MAX
from scheduler_svc.domain.occurrences import (
    count_between,
    fire_at,
    last_due,
    next_after,
    take,
)
from scheduler_svc.domain.schedule import LIST_MAX

Missed = Literal["skip", "once", "all"]


class Armed(Struct, frozen=True):
    """The next occurrence and when it is sent, in epoch milliseconds."""

    scheduled_ms: int
    fire_ms: int


def arm(job: PlannedJob, *, after_ms: int, runs_made: int) -> Armed | None:
    """Find the first occurrence after an instant; None where the job has none left."""
    if runs_left(job, runs_made) == 0:
        return None
    scheduled_ms = next_after(job.timetable, after_ms)
    if scheduled_ms is None:
        return None
    return Armed(scheduled_ms, fire_at(job.timetable, scheduled_ms))


def rearm(job: PlannedJob, *, pending_ms: int | None, now_ms: int, runs_made: int) -> Armed | None:
    """Find the first occurrence of an edited schedule: after now, so that no edit fires at once.

    `pending_ms` is an occurrence of the old schedule that waits for its spread: it is kept where
    the new one names it too and its sending still lies ahead.
    """
    if pending_ms is not None and pending_ms <= now_ms:
        kept = arm(job, after_ms=pending_ms - 1, runs_made=runs_made)
        if kept is not None and kept.scheduled_ms == pending_ms and kept.fire_ms > now_ms:
            return kept
    return arm(job, after_ms=now_ms, runs_made=runs_made)


def runs_left(job: PlannedJob, runs_made: int) -> int | None:
    """Return how many more runs `max_runs` allows; None where it is not set."""
    limit = job.definition.schedule.max_runs
    return None if limit is None else max(0, limit - runs_made)


class Resumed(Struct, frozen=True):
    """What a resumption makes: rows of the ledger, the next occurrence, and the runs by then."""

    runs: list[NewRun]
    following: Armed | None
    runs_made: int


def resume(  # one fact of the pause each
    job: PlannedJob,
    missed: Missed,
    *,
    after_ms: int,
    now_ms: int,
    runs_made: int,
    busy: bool,
) -> Resumed:
    """End a pause: what passed becomes rows, and the timer goes where the cadence would be.

    The ledger holds what lies up to `after_ms`. What waits for its spread has not passed.
    """
    passed = passed_while_paused(
        job, missed, after_ms=after_ms, now_ms=now_ms, runs_made=runs_made, busy=busy
    )
    made = runs_made + sum(run.status != "skipped" for run in passed)
    latest = last_due(job.timetable, now_ms)
    after_ms = after_ms if latest is None else max(after_ms, latest)
    return Resumed(passed, arm(job, after_ms=after_ms, runs_made=made), made)


def recorded_from(pause: Pause, job: PlannedJob) -> int:
    """Return up to where a pause says that the ledger holds its job's occurrences."""
    if pause.recorded_until is not None:
        return epoch_ms(pause.recorded_until)
    return epoch_ms(pause.since) - job.spread_ms


def passed_while_paused(  # one fact of the pause each
    job: PlannedJob,
    missed: Missed,
    *,
    after_ms: int,
    now_ms: int,
    runs_made: int,
    busy: bool,
) -> list[NewRun]:
    """Say what becomes of the occurrences in (after, now]: skipped as one row, or caught up.

    `busy` tells that the job has an unfinished run. Where its overlap policy is not `allow`, what
    is caught up goes one after the other.
    """
    latest = last_due(job.timetable, now_ms)
    left = runs_left(job, runs_made)
    if latest is None or latest <= after_ms or left == 0:
        return []
    sent = _to_catch_up(job, missed, after_ms, latest)[: CATCH_UP_MAX if left is None else left]
    runs = _in_line(job, sent, now_ms=now_ms, busy=busy)
    if missed == "once" and sent:
        return ledger(job, after_ms, sent[-1] - 1, "merged") + runs
    return runs + ledger(job, sent[-1] if sent else after_ms, latest, "paused")


def past_instants(
    job: PlannedJob, known: frozenset[int], *, now_ms: int, busy: bool
) -> list[NewRun]:
    """Say what becomes of instants that an `at` names although they are past (`if_past`)."""
    schedule = job.definition.schedule
    if not isinstance(schedule.if_past, str) or schedule.if_past == "reject":
        return []
    named = take(job.timetable, -1, LIST_MAX)
    past = [at for at in named if at <= now_ms and at not in known]
    if schedule.if_past == "skip":
        return [skipped(job, at, "too_late") for at in past]
    return _in_line(job, past, now_ms=now_ms, busy=busy)


def instants_of(job: PlannedJob) -> frozenset[int]:
    """Return the instants that an `at` names, in epoch milliseconds."""
    at = job.definition.schedule.at
    if at is UNSET:
        return frozenset()
    return frozenset(map(epoch_ms, at if isinstance(at, list) else [at]))


def ledger(job: PlannedJob, after_ms: int, until_ms: int, reason: str) -> list[NewRun]:
    """Write the occurrences in (after, until] as one skipped row, or none where there are none."""
    count, first, last = count_between(job.timetable, after_ms, until_ms, COUNT_MAX)
    if not count or first is None or last is None:
        return []
    row = skipped(job, first, reason)
    return [structs.replace(row, occurrences=count, until_ms=None if count == 1 else last)]


def skipped(job: PlannedJob, at: int, reason: str) -> NewRun:
    """Write one occurrence that is not sent."""
    return NewRun(run_id(job.id, at), at, at, "schedule", "skipped", reason=reason)


def catch_up(job: PlannedJob, at: int, *, now_ms: int) -> NewRun:
    """Write one past occurrence that is sent as soon as may be."""
    return NewRun(run_id(job.id, at), at, now_ms, "catch_up", "due")


def _in_line(job: PlannedJob, instants: list[int], *, now_ms: int, busy: bool) -> list[NewRun]:
    """Catch instants up at a bounded rate; one after the other, where none may overlap."""
    runs = [
        catch_up(job, at, now_ms=now_ms + turn * CATCH_UP_STEP_MS)
        for turn, at in enumerate(instants)
    ]
    if job.definition.overlap == "allow":
        return runs
    return [structs.replace(run, queued=busy or turn > 0) for turn, run in enumerate(runs)]


def _to_catch_up(job: PlannedJob, missed: Missed, after_ms: int, latest: int) -> list[int]:
    match missed:
        case "skip":
            return []
        case "once":
            return [latest]
        case "all":
            return [at for at in take(job.timetable, after_ms, CATCH_UP_MAX) if at <= latest]
