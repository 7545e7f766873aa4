"""The second source of a pass: runs that are due already, taken by whoever has a slot for them.

Retries, triggers and overflow first. What is caught up or backfilled is asked for by itself, in
fewer slots and at a bounded rate, so that the past never delays what is on time.
"""

from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine.aftermath import alert_job
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.tick import park
from scheduler_svc.store import claims, settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection, run_once_more

GROUP = 5
"""So many runs of the past leave at once: few enough not to be felt."""


async def claim_waiting(parts: Parts) -> bool:
    """Take a batch of runs that are due already; tell whether there may be more."""
    batch = min(parts.limits.batch, parts.hand.free)
    if batch == 0:
        return False
    taken, found = await run_once_more(
        parts.pool,
        lambda conn: _claim_waiting(parts, conn, batch, background=False),
        seconds=parts.limits.database_seconds,
    )
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
    taken, found = await run_once_more(
        parts.pool,
        lambda conn: _claim_waiting(parts, conn, batch, background=True),
        seconds=parts.limits.database_seconds,
    )
    for turn, (claim, job) in enumerate(found):
        fire_ms = max(claim.fire_ms, from_ms + turn // GROUP * GROUP * step_ms)
        parts.hand.add(msgspec.structs.replace(claim, fire_ms=fire_ms), job)
    if found:
        parts.to_send.ring()
    return taken


async def _claim_waiting(
    parts: Parts, conn: Connection, batch: int, *, background: bool
) -> tuple[int, list[tuple[ClaimedRun, KnownJob]]]:
    """Take a batch; return how many were taken, and those that can be sent."""
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
        return 0, []
    jobs = await _jobs_of(parts, conn, [claim.job_id for claim in claimed])
    found, lost = [], []
    for claim in claimed:
        job = alert_job(parts, claim) or jobs.get(claim.job_id)
        if job is None:
            lost.append(_lost(claim, now_ms, deleted=claim.job_id not in jobs))
        else:
            found.append((claim, job))
    if lost:
        await settlements.settle(conn, lost)
    return len(claimed), found


async def _jobs_of(
    parts: Parts, conn: Connection, job_ids: list[UUID]
) -> dict[UUID, KnownJob | None]:
    """Read the jobs of waiting runs as they are now: a retry goes where its job points now.

    None is one that can not be understood, and is parked.
    """
    known: dict[UUID, KnownJob | None] = {}
    for stored in await timers.load_definitions(conn, list(set(job_ids))):
        job = parts.jobs.get(stored.id, stored.revision)
        try:
            known[stored.id] = parts.jobs.learn(stored) if job is None else job
        except Exception as error:  # noqa: BLE001 - the poison guard
            known[stored.id] = None
            await park(parts, conn, stored.id, error)
    return known


def _lost(claim: ClaimedRun, now_ms: int, *, deleted: bool) -> settlements.Settlement:
    """End a waiting run whose job was deleted, or is parked."""
    return settlements.Settlement(
        id=claim.id,
        job_id=claim.job_id,
        scheduled_ms=claim.scheduled_ms,
        attempt=claim.attempt,
        status="cancelled" if deleted else "failed",
        reason="job_deleted" if deleted else "no_retry",
        finished_at=instant_at(now_ms),
    )
