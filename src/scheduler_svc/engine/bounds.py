"""Until when a run may be tried again: its next occurrence, or the deadline of its job.

A retry that waited, through an outage or because of its key, is judged once more before it leaves:
by then the next occurrence may have come, or the deadline passed.
"""

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import fire_at, next_after
from scheduler_svc.domain.outcome import Failed
from scheduler_svc.domain.retry import is_over
from scheduler_svc.store.claims import ClaimedRun


def next_occurrence_ms(plan: PlannedJob, claim: ClaimedRun, first_ms: int) -> int | None:
    """Return when the next occurrence is sent; None where none bounds the run's retries.

    `first_ms` is when its first attempt was sent: what is caught up is bounded from there on.
    """
    if claim.trigger not in {"schedule", "catch_up"}:
        return None
    after_ms = claim.scheduled_ms
    if claim.trigger == "catch_up":
        after_ms = max(after_ms, first_ms)
    bound = next_after(plan.timetable, after_ms)
    return None if bound is None else fire_at(plan.timetable, bound)


def over(
    plan: PlannedJob, claim: ClaimedRun, *, now_ms: int, held_back: bool = False
) -> Failed | None:
    """Tell why a claimed run is not tried again; None where it is, or was never sent.

    `held_back` is one that an open breaker kept from its target. That stands for attempts which
    would have failed, so it is judged though nothing was sent, and the next occurrence, skipped
    for it or not, is the end of it.
    """
    if claim.started_at is None and not held_back:
        return None
    first_ms = claim.fire_ms if claim.started_at is None else epoch_ms(claim.started_at)
    rule = plan.definition
    reason = is_over(
        rule.retry,
        first_ms=first_ms,
        at_ms=now_ms,
        next_occurrence_ms=next_occurrence_ms(plan, claim, first_ms),
    )
    if reason == "next_occurrence" and rule.overlap == "skip" and not held_back:
        return None  # the next occurrence was skipped because this one waited: so it goes
    return None if reason is None else Failed(reason)
