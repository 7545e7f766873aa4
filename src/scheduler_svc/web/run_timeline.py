"""Where the attempts of a run lie in time, and how long each phase of one took. Pure.

Positions are thousandths of the width: the templates draw them, and a table beside the drawing says
the same in figures. What is too short to see is drawn a little longer than it was.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

WIDTH: Final = 1000.0
LEAST: Final = 6.0
"""The width of what took no time at all: it happened, so it is to be seen."""
PHASES: Final = (
    ("dns_ms", "look-up"),
    ("connect_ms", "connect"),
    ("tls_ms", "TLS"),
    ("first_byte_ms", "first byte"),
)
REST: Final = "rest"
FAR_MS: Final = 3_600_000
"""A run sent so long after its instant is drawn from its first attempt on."""
Json = dict[str, Any]


class Phase(Struct, frozen=True):
    """A part of an attempt: `x` and `width` in thousandths, `kind` for the style."""

    name: str
    kind: str
    ms: float
    x: float
    width: float


class Bar(Struct, frozen=True):
    """An attempt on the line of its run."""

    number: int
    outcome: str
    x: float
    width: float


class Mark(Struct, frozen=True):
    """An instant on the line, with its word."""

    name: str
    at: str
    x: float


class Line(Struct, frozen=True):
    """A run's line from one instant to another."""

    since: str
    until: str
    span_ms: float
    bars: list[Bar]
    marks: list[Mark]


def phases(attempt: Json) -> list[Phase]:
    """Lay the phases of an attempt in their order; the rest is sending, reading and waiting."""
    timing: Json = attempt["timing"] or {}
    whole = float(attempt["duration_ms"])
    parts = [
        (name, key.removesuffix("_ms"), float(timing[key]))
        for key, name in PHASES
        if timing.get(key) is not None
    ]
    rest = whole - sum(ms for _, _, ms in parts)
    if rest > 0:
        parts.append((REST, REST, rest))
    return list(_laid(parts, max(whole, sum(ms for _, _, ms in parts))))


def _laid(parts: list[tuple[str, str, float]], whole: float) -> Iterator[Phase]:
    """Give each its share of the width, and what is short its least."""
    scale = (WIDTH - LEAST * len(parts)) / whole if whole else 0.0
    x = 0.0
    for name, kind, ms in parts:
        width = LEAST + ms * scale
        yield Phase(name, kind, round(ms, 3), round(x, 1), round(width, 1))
        x += width


def line(run: Json) -> Line | None:
    """Lay a run out; None where nothing has been sent and nothing will be."""
    attempts: list[Json] = run["attempts"]
    known = {
        name: run[key]
        for name, key in (
            ("due", "scheduled_for"),
            ("claimed", "claimed_at"),
            ("next attempt", "next_attempt_at"),
            ("ended", "finished_at"),
        )
        if run[key] is not None
    }
    if not attempts and "next attempt" not in known:
        return None
    instants = {name: _ms(stamp) for name, stamp in known.items()}
    begins = [_ms(one["started_at"]) for one in attempts]
    first = min([*begins, *(ms for name, ms in instants.items() if name != "due")])
    if first - instants["due"] > FAR_MS:
        del known["due"], instants["due"]
    last = [begin + one["duration_ms"] for begin, one in zip(begins, attempts, strict=True)]
    low, high = min([first, *instants.values()]), max([first, *instants.values(), *last])
    scale = (WIDTH - LEAST) / max(1.0, high - low)
    return Line(
        since=min([*known.values(), *(one["started_at"] for one in attempts)], key=_ms),
        until=_latest(known, attempts),
        span_ms=high - low,
        bars=[
            Bar(
                number=one["number"],
                outcome=one["outcome"],
                x=round((begin - low) * scale, 1),
                width=round(LEAST + one["duration_ms"] * scale, 1),
            )
            for begin, one in zip(begins, attempts, strict=True)
        ],
        marks=[
            Mark(name, stamp, round((instants[name] - low) * scale, 1))
            for name, stamp in known.items()
        ],
    )


def _latest(known: dict[str, str], attempts: list[Json]) -> str:
    begun = [str(one["started_at"]) for one in attempts]
    return max([*known.values(), *begun], key=_ms)


def _ms(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp() * 1000
