"""Pressure: how many calls a key may have now, at which instants, and when its breaker trips.

Pure: what a replica knows of a key in, a verdict out. Nothing here counts by itself: what runs is
counted in the database under the lock of the key's row, which makes the limits exact.
"""

import math
from collections import deque
from functools import lru_cache
from typing import Literal

from msgspec import Struct, field

from scheduler_svc.domain.deferral import Reason
from scheduler_svc.domain.jobs import Target
from scheduler_svc.domain.runs import AttemptOutcome
from scheduler_svc.domain.template_places import parse_query
from scheduler_svc.domain.url import parse_url

BreakerState = Literal["closed", "open", "probing"]

SPARE_MS = 25.0
"""Calls of a key are laid out as if a second had so many milliseconds more: two replicas do not
send to the millisecond, and no window of one second may see one call more than allowed."""
PARALLEL_AHEAD_MS = 100
"""A call that a limit of parallel calls counts is claimed this far ahead: it takes its place while
it waits for its instant."""
TALLY_MAX = 1000
KEY_LENGTH_MAX = 255
SERVER_ERROR, TOO_MANY = 500, 429
FAILURES: frozenset[str] = frozenset({"timeout", "connect_error", "tls_error", "protocol_error"})


class Key(Struct, frozen=True, order=True):
    """What limits and breakers are kept by: a name within a namespace."""

    namespace: str
    name: str


class Ceiling(Struct, frozen=True):
    """Limits of a key; None is no limit."""

    max_parallel: int | None = None
    max_per_second: float | None = None

    @property
    def reason(self) -> Reason | None:
        """Return what a run under these limits waits for, where there are any."""
        if self.max_parallel is not None:
            return "concurrency"
        return None if self.max_per_second is None else "rate"


class Breaker(Struct, frozen=True, kw_only=True):
    """A key's breaker as the database has it."""

    state: BreakerState = "closed"
    failures: int = 0
    opens: int = 0
    opened_ms: int | None = None
    retry_ms: int | None = None


class KeyState(Struct, frozen=True, kw_only=True):
    """A key's row: without `configured` the limits are those that hold by default."""

    key: Key
    configured: bool = False
    ceiling: Ceiling = Ceiling()
    rate_free_ms: float | None = None
    breaker: Breaker = Breaker()

    def under(self, default: Ceiling) -> Ceiling:
        """Return the limits that hold."""
        return self.ceiling if self.configured else default


class BreakerRules(Struct, frozen=True, kw_only=True):
    """When a breaker opens, and how long it waits; times in milliseconds. 0 failures: never."""

    failures: int = 10
    ratio: float = 0.8
    ratio_calls: int = 20
    window_ms: int = 30_000
    wait_ms: int = 10_000
    wait_max_ms: int = 300_000

    def wait_after(self, opens: int) -> int:
        """Return how long it stays open after so many openings without a success."""
        return int(min(self.wait_max_ms, self.wait_ms * 2.0 ** min(max(opens, 1) - 1, 30)))


class Grant(Struct, frozen=True, kw_only=True):
    """What a key may have now: so many calls due by the horizon; or when to look again."""

    count: int = 0
    horizon_ms: int = 0
    probe: bool = False
    again_ms: int | None = None


def key_fault(name: str) -> str | None:
    """Say what keeps a text from being the name of a key, where something does."""
    if not 1 <= len(name) <= KEY_LENGTH_MAX:
        return f"is {len(name)} characters long; a key has 1 to {KEY_LENGTH_MAX}"
    if not name.isprintable():
        return "holds a character that can not be shown; use letters, digits and signs"
    return None


def key_of(target: Target, namespace: str) -> Key:
    """Return the key of a target: the one it names, or its host."""
    name = target.concurrency_key or parse_url(parse_query(target.url)[0]).host
    return shared_key(namespace, name)


@lru_cache(maxsize=4096)
def shared_key(namespace: str, name: str) -> Key:
    """Return one key for all jobs that share it: a row of them is then seen to be one."""
    return Key(namespace, name)


def weigh(outcome: AttemptOutcome | str, status: int | None) -> bool | None:
    """Tell whether an attempt speaks against its target (False) or for it; None is neither.

    A status of 4xx is an answer of a target that works; 429 asks to be left alone.
    """
    if outcome in FAILURES:
        return False
    if status is None or outcome not in {"ok", "http_error", "too_large"}:
        return None
    return status < SERVER_ERROR and status != TOO_MANY


def grant(
    state: KeyState | None,
    default: Ceiling,
    *,
    running: int,
    now_ms: int,
    lookahead_ms: int,
) -> Grant:
    """Decide how many calls a key may have: its row is locked, `running` counted under the lock."""
    horizon_ms = now_ms + lookahead_ms
    if state is None:
        return Grant(count=TALLY_MAX, horizon_ms=horizon_ms)
    ceiling = state.under(default)
    count, probe = TALLY_MAX, False
    if state.breaker.state != "closed":
        retry_ms = state.breaker.retry_ms or 0
        if retry_ms > now_ms:
            return Grant(again_ms=retry_ms)
        count, probe, horizon_ms = 1, True, now_ms
    if ceiling.max_parallel is not None:
        count = min(count, max(0, ceiling.max_parallel - running))
        horizon_ms = min(horizon_ms, now_ms + PARALLEL_AHEAD_MS)
    if ceiling.max_per_second is not None:
        free_ms = max(float(now_ms), state.rate_free_ms or 0.0)
        step = interval_ms(ceiling.max_per_second)
        if free_ms > horizon_ms:
            return Grant(again_ms=math.ceil(free_ms) - (0 if probe else lookahead_ms))
        count = min(count, int((horizon_ms - free_ms) / step) + 1)
    return Grant(count=count, horizon_ms=horizon_ms, probe=probe)


def interval_ms(max_per_second: float) -> float:
    """Return how far apart the calls of a key are laid.

    A second holds whole calls: above one, what a rate has beyond them would be a call too many.
    """
    whole = math.floor(max_per_second) if max_per_second > 1 else max_per_second
    return (1000.0 + SPARE_MS) / whole


def lay_out(
    wanted_ms: list[int], *, free_ms: float | None, max_per_second: float, now_ms: int
) -> tuple[list[int], float]:
    """Give each call its instant, in the order given: never before it is due, never too close.

    Returns the instants and the earliest instant of the call after them: GCRA without a burst.
    """
    step = interval_ms(max_per_second)
    following = max(free_ms or 0.0, 0.0)
    laid = []
    for wanted in wanted_ms:
        at = max(float(wanted), float(now_ms), following)
        laid.append(math.ceil(at))
        following = at + step
    return laid, following


class Tally(Struct):
    """Failures in a row of a key as one replica sees them, and the last calls within the window."""

    row: int = 0
    calls: deque[tuple[int, bool]] = field(default_factory=lambda: deque(maxlen=TALLY_MAX))
    failed: int = 0

    def add(self, rules: BreakerRules, *, good: bool, now_ms: int) -> bool:
        """Count one call; tell whether the breaker trips."""
        self.row = 0 if good else self.row + 1
        if len(self.calls) == TALLY_MAX:
            self._forget()
        self.calls.append((now_ms, good))
        self.failed += not good
        while self.calls and self.calls[0][0] < now_ms - rules.window_ms:
            self._forget()
        if good or not rules.failures:
            return False
        many = len(self.calls) >= rules.ratio_calls
        return self.row >= rules.failures or (many and self.failed >= rules.ratio * len(self.calls))

    @property
    def idle(self) -> bool:
        """Tell whether there is nothing to remember."""
        return not self.row and not self.failed

    def _forget(self) -> None:
        _, good = self.calls.popleft()
        self.failed -= not good
