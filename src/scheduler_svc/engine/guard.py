"""Is this still the database that was there before? Asked with each heartbeat, before the lease.

Promises that a replica which claims has no lease in a database that jumped back, or was away for
longer than the limit, before what is in doubt in it is held. Will not hold what a short outage left
behind: that is for the misfire policies.
"""

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.holds import Evidence, Identity, Memory, Reason, reason_to_hold
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import holds
from scheduler_svc.store.pool import Connection, connection, run_once_more


class Watch(msgspec.Struct):
    """What a replica remembers of its heartbeats; the first is judged by what others left."""

    begun: bool = False
    started_ms: int = 0
    wrote_ms: int = 0
    wrote_at: float = 0.0

    def wrote(self, now_ms: int, at: float) -> None:
        """Note a heartbeat that was written, by the database's clock and by our own."""
        self.started_ms = self.started_ms or now_ms
        self.begun, self.wrote_ms, self.wrote_at = True, now_ms, at

    def memory(self, at: float) -> Memory | None:
        """Return what we know ourselves; None before the first heartbeat."""
        if not self.begun:
            return None
        silent_ms = int((at - self.wrote_at) * 1000)
        return Memory(started_ms=self.started_ms, wrote_ms=self.wrote_ms, silent_ms=silent_ms)


async def look(parts: Parts, watch: Watch, *, claims: bool, seconds: float) -> bool:
    """Learn what is held; tell whether this replica's past is not the database's."""
    now_ms = parts.clock.now_ms()
    async with connection(parts.pool, seconds=seconds) as conn:
        seen = await holds.continuity(conn, parts.replica)
        parts.holds.found = await holds.all_holds(conn) if seen.held else {}
        if not claims:
            return False
        memory = watch.memory(parts.clock.monotonic())
        evidence = Evidence(now_ms=now_ms, alive_ms=seen.alive_ms, mine_ms=seen.mine_ms)
        reason = reason_to_hold(evidence, memory, limit_ms=parts.limits.hold_after_ms)
        if memory is not None and reason is None:
            return False
        this = await holds.this_database(conn)
    return await _judge(parts, memory, this, now_ms=now_ms)


async def _judge(parts: Parts, memory: Memory | None, this: Identity, *, now_ms: int) -> bool:
    """Look again under the lock, so that replicas which start together follow each other."""

    async def work(conn: Connection) -> tuple[Reason | None, list[str], int]:
        stored = await holds.lock_continuity(conn, now_ms=now_ms)
        mine = (await holds.continuity(conn, parts.replica)).mine_ms
        evidence = Evidence(
            now_ms=now_ms, alive_ms=stored.alive_ms, mine_ms=mine, then=stored.identity, now=this
        )
        reason = reason_to_hold(evidence, memory, limit_ms=parts.limits.hold_after_ms)
        placed: list[str] = []
        # Who was cut off while the others noticed, and perhaps were told what to do, is not asked.
        known = memory is not None and (stored.held_ms or 0) >= memory.wrote_ms
        if reason is not None and not known:
            placed = await holds.place(conn, reason, now_ms=now_ms, alive_ms=stored.alive_ms)
        held = bool(placed)
        await holds.write_continuity(conn, this, now_ms=now_ms, held=held)
        parts.holds.found = await holds.all_holds(conn)
        return reason, placed, stored.alive_ms

    reason, placed, alive_ms = await run_once_more(
        parts.pool, work, seconds=2 * holds.JUDGE_SECONDS
    )
    if placed:
        parts.on_event(
            EventName.NAMESPACES_HELD,
            reason=reason,
            namespaces=len(placed),
            away_seconds=round((now_ms - alive_ms) / 1000),
        )
    if reason != "restored":
        return False
    parts.jobs.forget()
    parts.namespaces.forget()
    parts.secrets.forget()
    parts.pressure.stale = True
    return memory is not None
