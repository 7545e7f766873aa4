"""Letting go what was held, once somebody said what becomes of it: in steps, by any replica.

A step is one transaction under the lock of the namespace's row. Timers go back before the claim,
which decides them by what was said; runs go back, or end as skipped. When nothing is left the row
goes, and the namespace is as free as any other.
"""

from uuid import UUID

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.engine.alarm import rest
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import holds, notices
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Connection, connection, is_database_away, run_once_more
from scheduler_svc.store.timers import NIL

PASS_SECONDS = 1.0
HELD_SECONDS = 2.0
"""So soon it is seen that something is held by now."""
BATCH = 1000
STEP_SECONDS = 10.0


class Step(msgspec.Struct, frozen=True):
    """What one step let go of a namespace, up to which job, and whether it was the last."""

    namespace: str
    missed: str
    timers: int = 0
    runs: int = 0
    first_ms: int | None = None
    """When the earliest of those timers is due: the scans of all replicas are past it."""
    last: UUID = NIL
    ended: bool = False


async def releases(parts: Parts, pace: Pace) -> None:
    """Let go what was decided, for ever; costs nothing while nothing is held."""
    while True:
        await rest(PASS_SECONDS if parts.holds.found else HELD_SECONDS, Turn.UPKEEP)
        if not (parts.holds.found and parts.lease.held):
            continue
        try:
            await let_go(parts, pace)
        except Exception as error:
            if not is_database_away(error):
                raise


async def let_go(parts: Parts, pace: Pace) -> None:
    """Make steps while there is something to let go, and learn what is held then."""
    seen: list[str] = []
    after: dict[str, UUID] = {}
    while True:
        step = await run_once_more(
            parts.pool, lambda conn: _step(parts, conn, seen, after), seconds=STEP_SECONDS
        )
        if step is None:
            break
        if step.timers or step.runs:
            after[step.namespace] = step.last
            if step.first_ms is not None:  # this replica may hear no notices
                pace.notice(step.first_ms, lookahead_ms=parts.limits.lookahead_ms)
            parts.to_claim.ring()
            continue
        seen.append(step.namespace)
        if step.ended:
            parts.on_event(EventName.NAMESPACE_FREED, namespace=step.namespace, missed=step.missed)
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        parts.holds.found = await holds.all_holds(conn)


async def _step(
    parts: Parts, conn: Connection, seen: list[str], after: dict[str, UUID]
) -> Step | None:
    """Let go a batch of the next namespace; where there is none, see whether all of it is free."""
    hold = await holds.lock_decided(conn, seen)
    if hold is None or hold.missed is None:
        return None
    now_ms, name = parts.clock.now_ms(), hold.namespace
    if hold.missed == "skip":
        await holds.cancel_ranges(conn, name, now_ms=now_ms)
    runs = await holds.let_runs_go(conn, hold, now_ms=now_ms, batch=BATCH)
    timers = await holds.unpark_timers(conn, hold, after.get(name, NIL), batch=BATCH)
    last = timers.last if timers.count == BATCH else NIL
    if timers.first_ms is not None:
        await notices.wake(conn, timers.first_ms)
    if runs or timers.count:
        return Step(name, hold.missed, timers.count, runs, timers.first_ms, last)
    left = await holds.is_left(conn, hold, now_ms=now_ms)
    if not left:
        await holds.end(conn, name)
    return Step(name, hold.missed, ended=not left)
