"""Durations as text: `500ms`, `30s`, `1h30m`, `7d`.

Promises one exact number of milliseconds for each text and one normal text for each number.
Knows nothing of calendars: a day is 24 hours.
"""

import re
from functools import lru_cache
from typing import Annotated, Final

import msgspec

TEXT_MAX: Final = 64
MILLISECONDS_MAX: Final = 100 * 366 * 86_400_000
"""A hundred years: longer ones are typing errors, and sums of two still fit an instant."""

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_PATTERN: Final = r"^(?=[0-9])([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
_TEXT: Final = re.compile(_PATTERN.removesuffix("$") + r"\Z")

DurationText = Annotated[
    str,
    msgspec.Meta(
        pattern=_PATTERN,
        max_length=TEXT_MAX,
        description="A duration: whole numbers with the units d, h, m, s, ms, largest first.",
        examples=["500ms", "30s", "1h30m", "7d"],
    ),
]


@lru_cache(maxsize=4096)
def milliseconds(text: str) -> int:
    """Return the length in milliseconds; raise ValueError with a reason fit for the caller."""
    match = _TEXT.match(text) if len(text) <= TEXT_MAX else None
    if match is None:
        raise ValueError(_refusal(text))
    total = sum(
        int(part[: -len(unit)]) * size
        for part, (unit, size) in zip(match.groups(), _UNITS, strict=True)
        if part
    )
    if total > MILLISECONDS_MAX:
        raise ValueError(f"'{text}' is longer than 100 years")
    return total


def text_of(total_ms: int) -> str:
    """Write whole milliseconds in normal form: largest units first, none of them zero."""
    if total_ms == 0:
        return "0s"
    parts = []
    for unit, size in _UNITS:
        count, total_ms = divmod(total_ms, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


@lru_cache(maxsize=4096)
def normal(text: str) -> str:
    """Rewrite a duration in normal form: `90m` becomes `1h30m`, `0ms` becomes `0s`."""
    return text_of(milliseconds(text))


def _refusal(text: str) -> str:
    """Say why a text is no duration, with the likeliest cure."""
    shown = text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
    if not text:
        return "a duration may not be empty; write for example '30s'"
    if text.isascii() and text.isdigit():
        return f"'{shown}' has no unit; write for example '{shown}s'"
    if re.fullmatch(r"[0-9]+\.[0-9]+(d|h|m|s|ms)", text):
        return f"'{shown}' has a fraction; use whole numbers and a smaller unit, like '1h30m'"
    if text.startswith("-"):
        return f"'{shown}' is negative"
    return (
        f"'{shown}' is not a duration; write whole numbers with d, h, m, s or ms,"
        " largest unit first and each once, like '1h30m'"
    )
