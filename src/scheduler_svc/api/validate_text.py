"""What is wrong with a text that stands for something else: an instant, an id, a duration, a name.

Each function returns a sentence, or None where nothing is wrong.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

import msgspec

from scheduler_svc.domain import duration, jobs

_LONG_YEAR = re.compile(r"[+-]?\d{5,}-")
_NAME_RULE = (
    "must be 1 to 128 lower-case letters, digits, '.', '_' or '-', the first a letter or digit"
)
_LABEL_RULE = (
    "as a label's key must be 1 to 63 lower-case letters, digits, '.', '_', '/' or '-',"
    " the first a letter or digit"
)
_RULES = {jobs.NAME_PATTERN: _NAME_RULE, jobs.LABEL_KEY_PATTERN: _LABEL_RULE}
_DURATION = "([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?"


def instant_fault(text: str, *, offset: bool = True) -> str | None:
    """Judge an RFC 3339 instant; `offset` asks for one."""
    try:
        instant = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        if _LONG_YEAR.match(text):
            return "must be an instant in a year up to 9999"
        return "must be a valid RFC 3339 instant, like 2030-01-31T09:00:00Z"
    if instant.tzinfo is None:
        return "needs an offset, like Z or +02:00" if offset else None
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return "must be an instant in the years 1 to 9999, in UTC too"
    return None


def uuid_fault(text: str) -> str | None:
    """Judge an id."""
    try:
        UUID(text)
    except ValueError:
        return "must be an id, like 01980000-0000-7000-8000-000000000000"
    return None


def pattern_fault(text: str, pattern: str) -> str | None:
    """Judge a text by its pattern, which must match to the very end, a line feed included."""
    if _DURATION in pattern:
        try:
            duration.milliseconds(text)
        except ValueError as error:
            return str(error)
        return None
    if _compiled(pattern).fullmatch(text):
        return None
    return _RULES.get(pattern, f"must match {pattern}")


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
