"""Until when a run may be tried again: its next occurrence, or the deadline of its job.

A retry that waited through an outage is judged once more before it leaves: by then the next
occurrence may have come, or the deadline passed.
"""

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import fire_at, next_after
from scheduler_svc.domain.outcome import Failed
from scheduler_svc.domain.retry import is_over
from scheduler_svc.engine.hand import HeldRun


def next_occurrence_ms(held: HeldRun, first_ms: int) -> int | None:
    """Return when the next occurrence is sent; None where none bounds the run's retries.

    `first_ms` is when its first attempt was sent: what is caught up is bounded from there on.
    """
    claim, timetable = held.claim, held.job.plan.timetable
    if claim.trigger not in {"schedule", "catch_up"}:
        return None
    after_ms = claim.scheduled_ms
    if claim.trigger == "catch_up":
        after_ms = max(after_ms, first_ms)
    bound = next_after(timetable, after_ms)
    return None if bound is None else fire_at(timetable, bound)


def over(held: HeldRun, *, now_ms: int) -> Failed | None:
    """Tell why a claimed run is not tried again; None where it is, or was never sent."""
    started_at = held.claim.started_at
    if started_at is None:
        return None
    first_ms = epoch_ms(started_at)
    rule = held.job.plan.definition
    reason = is_over(
        rule.retry,
        first_ms=first_ms,
        at_ms=now_ms,
        next_occurrence_ms=next_occurrence_ms(held, first_ms),
    )
    if reason == "next_occurrence" and rule.overlap == "skip":
        return None  # the next occurrence was skipped because this one waited: so it goes
    return None if reason is None else Failed(reason)
