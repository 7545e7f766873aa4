"""Words that all answers share: instants as text, and where a list goes on.

An instant leaves as RFC 3339 in UTC with a Z, cut to milliseconds, which are left out where zero.
"""

from datetime import datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from scheduler_svc.domain.ids import epoch_ms, instant_at

Stamp = Annotated[
    str,
    Meta(
        description="An instant in UTC, RFC 3339.",
        examples=["2026-01-05T09:00:00Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
NextCursor = Annotated[
    str | None, Meta(description="Goes on after this page; null at the end of the list.")
]


def stamp(instant: datetime) -> str:
    """Write an instant."""
    return stamp_ms(epoch_ms(instant))


def stamp_ms(ms: int) -> str:
    """Write an instant of epoch milliseconds; whole seconds, as most occurrences are, recur."""
    return _written(ms) if ms % 1000 else _whole(ms)


def _written(ms: int) -> str:
    text = instant_at(ms).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.removesuffix("+00:00") + "Z"


_whole = lru_cache(maxsize=16384)(_written)


def stamp_or_none(instant: datetime | None) -> str | None:
    """Write an instant that may be missing."""
    return None if instant is None else stamp(instant)
