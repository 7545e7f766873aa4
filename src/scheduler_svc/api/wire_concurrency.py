"""How a concurrency key looks from outside, and what sets its limits."""

from typing import Annotated

from msgspec import Meta, Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp_ms
from scheduler_svc.domain.pressure import BreakerState, KeyState
from scheduler_svc.store.keys import KeyCounts

Parallel = Annotated[
    int | None,
    Meta(description="Calls at once, over all replicas; null is no limit."),
]
PerSecond = Annotated[
    float | None,
    Meta(description="Calls in any second, over all replicas; null is no limit."),
]


class KeyLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of a concurrency key."""

    max_parallel: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    max_per_second: Annotated[float, Meta(ge=0.001, le=100_000)] | None = None


class KeyBreaker(Struct, frozen=True, kw_only=True):
    """The breaker of a key: `open` lets nothing through, `probing` has one call out."""

    state: BreakerState
    failures: int
    opened_at: Stamp | None
    retry_at: Stamp | None


class ConcurrencyKey(Struct, frozen=True, kw_only=True):
    """A key, its limits, and how it stands. Not `configured`: the limits of the settings hold."""

    key: str
    configured: bool
    max_parallel: Parallel
    max_per_second: PerSecond
    running: Annotated[int, Meta(description="Calls that were granted under the key, and go on.")]
    waiting: Annotated[int, Meta(description="Runs that wait because of the key.")]
    breaker: KeyBreaker


class ConcurrencyKeyList(Struct, frozen=True, kw_only=True):
    """A page of keys, by name."""

    items: list[ConcurrencyKey]
    next_cursor: NextCursor


def key_view(state: KeyState, counts: KeyCounts) -> ConcurrencyKey:
    """Write a key for the answer."""
    breaker = state.breaker
    return ConcurrencyKey(
        key=state.key.name,
        configured=state.configured,
        max_parallel=state.ceiling.max_parallel,
        max_per_second=state.ceiling.max_per_second,
        running=counts.running,
        waiting=counts.waiting,
        breaker=KeyBreaker(
            state=breaker.state,
            failures=breaker.failures,
            opened_at=_stamp(breaker.opened_ms),
            retry_at=_stamp(breaker.retry_ms),
        ),
    )


def _stamp(ms: int | None) -> str | None:
    return None if ms is None else stamp_ms(ms)
