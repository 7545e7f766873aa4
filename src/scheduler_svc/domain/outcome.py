"""What one attempt means for its run: succeeded, failed for good, or worth another attempt.

Total over every outcome and status. A failed delivery is a value here, never an exception.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from scheduler_svc.domain.runs import AttemptOutcome

GONE = 410
STATUS_MIN, STATUS_MAX = 100, 599


class Succeeded(Struct, frozen=True):
    """The target answered with a status that counts as success."""


class Failed(Struct, frozen=True):
    """No further attempt; `gone` also pauses the job, the last two say that the time is over."""

    reason: Literal["status", "gone", "blocked", "no_retry", "deadline", "next_occurrence"]


class Retryable(Struct, frozen=True):
    """Another attempt may follow, not before `retry_after_ms` from now where the target said so."""

    retry_after_ms: int | None = None


SUCCEEDED = Succeeded()
Verdict = Succeeded | Failed | Retryable


def classify(
    outcome: AttemptOutcome,
    status: int | None,
    headers: dict[str, str],
    *,
    success: Sequence[int | str],
    retry_on: Sequence[int | str],
    now: datetime,
) -> Verdict:
    """Judge one attempt; header names are expected in lower case."""
    if outcome == "blocked":
        return Failed("blocked")
    if status is None or outcome not in {"ok", "http_error"}:
        return Retryable()
    if status_matches(status, success):
        return SUCCEEDED
    return _refused(status, headers, retry_on, now)


def _refused(
    status: int, headers: dict[str, str], retry_on: Sequence[int | str], now: datetime
) -> Failed | Retryable:
    """Judge an answer whose status is no success."""
    if status == GONE:
        return Failed("gone")
    if headers.get("scheduler-no-retry", "").strip().lower() == "true":
        return Failed("no_retry")
    if status_matches(status, retry_on):
        return Retryable(retry_after_ms(headers.get("retry-after"), now))
    return Failed("status")


def status_matches(status: int, rules: Sequence[int | str]) -> bool:
    """Tell whether a status falls under any of the rules (`404`, `2xx`, `200-299`)."""
    for rule in rules:
        low, high = status_range(rule)
        if low <= status <= high:
            return True
    return False


@lru_cache(maxsize=1024)
def statuses_of(rules: tuple[int | str, ...]) -> frozenset[int]:
    """Return all statuses that fall under any of the rules: one set for all who ask the same."""
    every = range(STATUS_MIN, STATUS_MAX + 1)
    return frozenset(status for status in every if status_matches(status, rules))


@lru_cache(maxsize=1024)
def status_range(rule: int | str) -> tuple[int, int]:
    """Return the statuses of a rule, both ends included; raise ValueError with the reason."""
    text = str(rule)
    if len(text) == 3 and text[0] in "12345" and text[1:].lower() == "xx":  # noqa: PLR2004
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    low, dash, high = text.partition("-")
    if not _is_status(low) or (dash and not _is_status(high)):
        raise ValueError(f"'{text}' is no status; write 404, '2xx' or '200-299'")
    ends = int(low), int(high or low)
    if ends[0] > ends[1]:
        raise ValueError(f"'{text}' runs backwards; write '{high}-{low}'")
    return ends


def retry_after_ms(value: str | None, now: datetime) -> int | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds or a date; None where it is neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]), 10**10) * 1000
    try:
        at = parsedate_to_datetime(text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)  # the asctime form of RFC 9110, 5.6.7, which is in GMT
        return max(0, int((at - now).total_seconds() * 1000))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _is_status(text: str) -> bool:
    return (
        len(text) == 3  # noqa: PLR2004 - a status has three digits
        and text.isascii()
        and text.isdigit()
        and STATUS_MIN <= int(text) <= STATUS_MAX
    )
