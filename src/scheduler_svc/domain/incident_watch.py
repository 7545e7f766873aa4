"""When to look whether something failed to start, and what to ask then.

Pure. A job is late where an occurrence was not sent within `late_after`; it never ran where from
one due instant to the next no run of it started. Both are looked for at the instant at which they
become true, of a busy job every few seconds.
"""

from msgspec import Struct, structs

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.incidents import Memory
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.occurrences import fire_at, last_due, next_after

LOOK_MS_MIN = 5000
"""A job that fires each second is not looked at each second."""


class Questions(Struct, frozen=True):
    """What to look up: an occurrence that should have left, a due instant with a run since."""

    late_ms: int | None
    quiet_ms: int | None


def questions(job: PlannedJob, rule: Alerts, memory: Memory, *, now_ms: int) -> Questions:
    """Say what may have failed to start by now; instants are nominal."""
    late_ms = last_due(job.timetable, now_ms - milliseconds(rule.late_after))
    quiet_ms = memory.quiet_ms
    if not rule.never_ran or quiet_ms is None or not _passed(job, quiet_ms, now_ms):
        quiet_ms = None
    return Questions(late_ms, quiet_ms)


def watching(job: PlannedJob, rule: Alerts, memory: Memory, *, now_ms: int) -> Memory:
    """Remember when to look next; a due instant that was judged gives way to the latest one."""
    quiet_ms = memory.quiet_ms if rule.never_ran else None
    if rule.never_ran and (quiet_ms is None or _passed(job, quiet_ms, now_ms)):
        begin_ms = now_ms if quiet_ms is None else None
        quiet_ms = (
            next_after(job.timetable, begin_ms)
            if begin_ms is not None
            else last_due(job.timetable, now_ms)
        )
    looks = [_late_at(job, rule, now_ms)]
    if quiet_ms is not None:
        looks.append(_next_fire(job, quiet_ms))
    known = [at for at in looks if at is not None]
    watch_ms = max(min(known), now_ms + LOOK_MS_MIN) if known else None
    return structs.replace(memory, quiet_ms=quiet_ms, watch_ms=watch_ms)


def _late_at(job: PlannedJob, rule: Alerts, now_ms: int) -> int | None:
    """Return when the first occurrence that is not judged yet would be late."""
    allowed_ms = milliseconds(rule.late_after)
    judged_ms = last_due(job.timetable, now_ms - allowed_ms)
    if judged_ms is None:
        judged_ms = now_ms - allowed_ms - job.spread_ms
    following = next_after(job.timetable, judged_ms)
    return None if following is None else fire_at(job.timetable, following) + allowed_ms


def _passed(job: PlannedJob, quiet_ms: int, now_ms: int) -> bool:
    after_ms = _next_fire(job, quiet_ms)
    return after_ms is not None and after_ms <= now_ms


def _next_fire(job: PlannedJob, nominal_ms: int) -> int | None:
    following = next_after(job.timetable, nominal_ms)
    return None if following is None else fire_at(job.timetable, following)
