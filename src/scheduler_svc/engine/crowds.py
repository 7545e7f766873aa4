"""Beside a crowd: when very much of one namespace is due at once, others are on time all the same.

The timers are scanned in the order of their instants, so a crowd hides whoever is due with it or
after it. Its timers are read past once, unlocked, and those of others behind them are claimed. Only
while there is a crowd; where one namespace alone has jobs, never.
"""

import msgspec

from scheduler_svc.engine import tick
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import crowds as stored
from scheduler_svc.store.pool import connection
from scheduler_svc.store.timers import Mark

LOOK_MAX = 5000
"""Timers that one statement reads past."""
LOOK_SECONDS = 0.25
"""How often others are looked for while a crowd is scanned, and for how long."""
RESTART_SECONDS = 2.0
"""So often the look begins anew at the front: what came in behind it is found."""


class Crowds(msgspec.Struct):
    """Who crowds in this pass, and up to where others were looked for."""

    names: set[str] = msgspec.field(default_factory=set)
    after: Mark = Mark()
    looked_at: float = float("-inf")
    restart_at: float = float("-inf")
    alone: bool = False
    """There is nobody else who could be in their way."""

    def notice(self, at_ms: int) -> None:
        """Look from this instant on, where it is earlier."""
        if at_ms <= self.after.fire_ms:
            self.after = Mark(at_ms - 1)

    def begin(self) -> None:
        """Forget who crowded in the pass before; with nobody, where the look was too."""
        if not self.names:
            self.restart_at = float("-inf")
        self.names = set()


async def claim_others(
    parts: Parts, crowds: Crowds, *, low: Mark, reserved: int, soon: bool = False
) -> int | None:
    """Take what is due of namespaces that do not crowd, while more than the reserved slots are
    free. Returns the earliest instant that was deferred.

    With `soon` only where it is a while since the last look.
    """
    now = parts.clock.monotonic()
    if not crowds.names or (soon and now < crowds.looked_at + LOOK_SECONDS):
        return None
    crowds.looked_at = now
    if now >= crowds.restart_at:
        crowds.restart_at = now + RESTART_SECONDS
        crowds.after = low
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            crowds.alone = not await stored.has_others(conn, len(crowds.names))
    if crowds.alone:
        return None
    deferred_ms = await _look(parts, crowds, reserved=reserved)
    crowds.looked_at = parts.clock.monotonic()
    return deferred_ms


async def _look(parts: Parts, crowds: Crowds, *, reserved: int) -> int | None:
    until = parts.clock.monotonic() + LOOK_SECONDS
    horizon_ms = parts.clock.now_ms() + parts.limits.lookahead_ms
    at = crowds.after
    kept: Mark | None = None
    deferred: list[int] = []
    while parts.hand.free > reserved:
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            seen = await stored.look_past(
                conn, at, horizon_ms=horizon_ms, at_most=LOOK_MAX, namespaces=crowds.names
            )
        others = seen.others
        while others and (room := parts.hand.free - reserved) > 0:
            taken = others[: min(room, parts.limits.batch)]
            others = others[len(taken) :]
            scan = await tick.claim_listed(parts, taken)
            if scan.full:  # of an outage a portion was decided, and those are due no more
                others = taken + others
            crowds.names |= scan.crowds
            if scan.deferred_ms is not None:
                deferred.append(scan.deferred_ms)
        if kept is None and (others or deferred):
            kept = at  # they are looked at again
        at = seen.last
        if others or seen.read < LOOK_MAX or parts.clock.monotonic() > until:
            break
    crowds.after = at if kept is None else kept
    return min(deferred, default=None)
