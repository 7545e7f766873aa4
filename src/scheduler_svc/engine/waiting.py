"""The second source of a pass: runs that are due already, taken by whoever has a slot for them.

Retries, triggers and overflow first. What is caught up or backfilled is asked for by itself, in
fewer slots and at a bounded rate, so that the past never delays what is on time.
"""

import msgspec

from scheduler_svc.engine import run_quota
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.pressed import set_aside
from scheduler_svc.engine.taken import with_jobs
from scheduler_svc.store import claims
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection, connection

NOBODY: frozenset[str] = frozenset()
GROUP = 5
"""So many runs of the past leave at once: few enough not to be felt."""

TURN_MS = 50


async def what_waits(parts: Parts) -> tuple[bool, bool]:
    """Tell whether runs are due, on time and of the past, where there is a slot for one."""
    if not parts.hand.free:
        return False, False
    horizon_ms = parts.clock.now_ms() + parts.limits.lookahead_ms
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        return await claims.what_waits(conn, horizon_ms=horizon_ms)


async def claim_for_a_while(parts: Parts) -> bool:
    """Take runs that are due, but not for long: what comes by timers is not late for them."""
    until_ms = parts.clock.now_ms() + TURN_MS
    while more := await claim_waiting(parts):
        if parts.clock.now_ms() > until_ms:
            break
    return more


async def claim_waiting(parts: Parts) -> bool:
    """Take a batch of runs that are due already; tell whether there may be more."""
    batch = min(parts.limits.batch, parts.hand.free)
    if batch == 0:
        return False
    taken, found = await _claim(parts, batch, background=False)
    for claim, job in found:
        parts.hand.add(claim, job)
    if found:
        parts.to_send.ring()
    return taken == batch


async def claim_background(parts: Parts, *, room: int, from_ms: int, step_ms: int) -> int:
    """Take what is caught up or backfilled, to be sent few by few from an instant on.

    Returns how many were taken.
    """
    batch = min(parts.limits.batch, parts.hand.background_free, room)
    if batch <= 0:
        return 0
    taken, found = await _claim(parts, batch, background=True)
    for turn, (claim, job) in enumerate(found):
        fire_ms = max(claim.fire_ms, from_ms + turn // GROUP * GROUP * step_ms)
        parts.hand.add(msgspec.structs.replace(claim, fire_ms=fire_ms), job)
    if found:
        parts.to_send.ring()
    return taken


async def _claim(
    parts: Parts, batch: int, *, background: bool
) -> tuple[int, list[tuple[ClaimedRun, KnownJob]]]:
    """Take a batch in a transaction; return how many were taken, and those that can be sent."""
    parking = Parking(parts)
    taken, found, missing = await parking.run(
        lambda conn: _claim_waiting(parts, conn, parking, batch, background=background)
    )
    parking.tell()
    await run_quota.make_missing(parts, missing)
    return taken, found


async def _claim_waiting(
    parts: Parts, conn: Connection, parking: Parking, batch: int, *, background: bool
) -> tuple[int, list[tuple[ClaimedRun, KnownJob]], frozenset[str]]:
    """Take a batch; return how many were taken, those that can be sent, and the namespaces whose
    quota of runs could not be judged.
    """
    now_ms = parts.clock.now_ms()
    claimed = await claims.claim_due_runs(
        conn,
        horizon_ms=now_ms + parts.limits.lookahead_ms,
        batch=batch,
        replica=parts.replica,
        now_ms=now_ms,
        background=background,
    )
    if not claimed:
        return 0, [], NOBODY
    found = await with_jobs(parts, conn, parking, claimed, now_ms=now_ms)
    put_off = run_quota.put_off_past if background else run_quota.put_off_stale
    found, missing = await put_off(parts, conn, found, now_ms=now_ms)
    return len(claimed), await set_aside(parts, conn, found, now_ms=now_ms), missing
