"""When to try again, or that we stop: exponential delays with full jitter, or a list of delays.

A retry is a row with an instant, never a sleep. Randomness is an argument, so the same numbers
give the same answer.
"""

from typing import Literal

from msgspec import Struct

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Retry

LOST_MAX = 3
"""Attempts lost with their replica that are made again beyond `max_attempts`: a run that brings
down every replica it meets must end all the same."""
EXPONENT_MAX = 64


class TryAgain(Struct, frozen=True):
    """Another attempt, not before this epoch millisecond."""

    at_ms: int


class GiveUp(Struct, frozen=True):
    """No further attempt."""

    reason: Literal["attempts", "deadline", "next_occurrence"]


def next_attempt(
    retry: Retry,
    *,
    made: int,
    first_ms: int,
    now_ms: int,
    next_occurrence_ms: int | None,
    retry_after_ms: int | None,
    rand: float,
) -> TryAgain | GiveUp:
    """Decide what follows a failed attempt.

    `made` counts attempts that were not lost with a replica; `first_ms` is when the first was due;
    `next_occurrence_ms` is None where no next occurrence bounds the retries; `rand` is in [0, 1).
    """
    if made >= retry.max_attempts:
        return GiveUp("attempts")
    wait = delay_ms(retry, made, rand)
    if retry_after_ms is not None:
        wait = max(wait, min(retry_after_ms, milliseconds(retry.max_delay)))
    at = now_ms + wait
    reason = is_over(retry, first_ms=first_ms, at_ms=at, next_occurrence_ms=next_occurrence_ms)
    return TryAgain(at) if reason is None else GiveUp(reason)


def is_over(
    retry: Retry, *, first_ms: int, at_ms: int, next_occurrence_ms: int | None
) -> Literal["deadline", "next_occurrence"] | None:
    """Tell what forbids an attempt at an instant: a deadline takes the next occurrence's place."""
    if retry.deadline is not None:
        return "deadline" if at_ms > first_ms + milliseconds(retry.deadline) else None
    if next_occurrence_ms is not None and at_ms >= next_occurrence_ms:
        return "next_occurrence"
    return None


def delay_ms(retry: Retry, made: int, rand: float) -> int:
    """Return the wait after the `made`-th attempt, in milliseconds, jitter applied."""
    if retry.delays is not None:
        return milliseconds(retry.delays[min(made, len(retry.delays)) - 1])
    growth = retry.multiplier ** min(made - 1, EXPONENT_MAX)
    ceiling = int(min(milliseconds(retry.initial_delay) * growth, milliseconds(retry.max_delay)))
    return ceiling if retry.jitter == "none" else int(ceiling * rand)
