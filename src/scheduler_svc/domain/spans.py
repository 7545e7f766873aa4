"""Traces as values (W3C Trace Context): who is whose parent is computed from ids, and not stored.

A run's trace has the run's own id, and each of its spans an id of the run's and the attempt's. So
every replica names the same trace, and the parent that a target was told of, without asking.
Nothing here records anything: telemetry does, of the frozen records below.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias
from uuid import UUID

from msgspec import Struct

Kind = Literal["internal", "server", "client"]
Value: TypeAlias = str | int | float | bool
LINKS_MAX: Final = 128
TRACE_BYTES: Final = 24
_SPAN_BITS: Final = (1 << 64) - 1
_CHANCE: Final = 1 << 56
"""The last seven bytes of a trace id are random (Trace Context 2, 3.2.2.3): of a run's they are of
a hash, or drawn."""
_SETTLE: Final = 32
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_VERSION, _FIRST_VERSION = "ff", "00"
_NS: Final = 1_000_000


class SpanContext(Struct, frozen=True):
    """What names a span everywhere."""

    trace_id: int
    span_id: int
    sampled: bool


class Span(Struct, frozen=True, kw_only=True):
    """One span that has ended; instants are nanoseconds of Unix time."""

    name: str
    kind: Kind = "internal"
    context: SpanContext
    parent: SpanContext | None = None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value | None]
    """Those without a value are left out."""
    links: tuple[SpanContext, ...] = ()
    error: str | None = None
    """Why it counts as failed; what it says holds no secret."""


OnSpan: TypeAlias = Callable[[Span], None]
"""Takes one span of a trace that is sampled; quick, and never raises."""


def threshold(ratio: float) -> int:
    """Return what the random part of a trace id must reach, so that this share is sampled.

    As OpenTelemetry's consistent sampling has it: who samples less samples some of the same.
    """
    return round((1 - ratio) * _CHANCE)


def is_sampled(trace_id: int, least: int) -> bool:
    """Decide for a trace that begins here, in every replica alike."""
    return trace_id % _CHANCE >= least


def of_run(run_id: UUID, least: int) -> SpanContext:
    """Name the span of a whole run."""
    number = run_id.int
    return SpanContext(number, number & _SPAN_BITS, number % _CHANCE >= least)


def of_attempt(run_id: UUID, attempt: int, least: int) -> SpanContext:
    """Name the span of an attempt, which its target is told as its parent."""
    number = run_id.int
    return SpanContext(number, (number & _SPAN_BITS) ^ attempt, number % _CHANCE >= least)


def of_settle(run_id: UUID, attempt: int, least: int) -> SpanContext:
    """Name the span of an attempt's settling."""
    number = run_id.int
    span_id = (number & _SPAN_BITS) ^ (attempt << _SETTLE)
    return SpanContext(number, span_id, number % _CHANCE >= least)


def attempt_traceparent(run_id: UUID, attempt: int, least: int) -> bytes:
    """Write the header that a target gets; on the path of every fire, so it makes nothing else."""
    number = run_id.int
    sampled = number % _CHANCE >= least
    return b"00-%032x-%016x-%02x" % (number, (number & _SPAN_BITS) ^ attempt, sampled)


def begun(random: bytes, least: int) -> SpanContext:
    """Begin a trace of 24 random bytes."""
    trace_id = int.from_bytes(random[:16], "big") or 1
    span_id = int.from_bytes(random[16:24], "big") or 1
    return SpanContext(trace_id, span_id, is_sampled(trace_id, least))


def read_traceparent(text: str) -> SpanContext | None:
    """Read what a caller sent; None where it names no span, and then a trace begins here."""
    if (found := _TRACEPARENT.fullmatch(text.strip())) is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _FIRST_VERSION and more):
        return None
    context = SpanContext(int(trace_id, 16), int(span_id, 16), bool(int(flags, 16) & 1))
    return context if context.trace_id and context.span_id else None


def traceparent(context: SpanContext) -> str:
    """Write a context as the header's text."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.sampled:02x}"


def trace_text(trace_id: int) -> str:
    """Write a trace id as logs and tools do."""
    return f"{trace_id:032x}"


class RunEnd(Struct, frozen=True, kw_only=True):
    """What the span of a whole run tells."""

    run_id: UUID
    job_id: UUID
    trigger: str
    status: str
    reason: str | None
    attempts: int
    start_ms: int
    end_ms: int
    request: str | None = None
    """The `traceparent` of the request that asked for it."""


def run_span(end: RunEnd, least: int) -> Span:
    """Make the span of a run: from its first attempt to its end."""
    asked = None if end.request is None else read_traceparent(end.request)
    return Span(
        name="run",
        context=of_run(end.run_id, least),
        start_ns=end.start_ms * _NS,
        end_ns=end.end_ms * _NS,
        attributes={
            "scheduler.run.id": str(end.run_id),
            "scheduler.job.id": str(end.job_id),
            "scheduler.run.trigger": end.trigger,
            "scheduler.run.status": end.status,
            "scheduler.run.reason": end.reason,
            "scheduler.run.attempts": end.attempts,
        },
        links=() if asked is None else (asked,),
        error=(end.reason or end.status) if end.status == "failed" else None,
    )
