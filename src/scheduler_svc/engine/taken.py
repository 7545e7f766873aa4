"""Runs claimed as rows: their jobs as they are now, and the end of those whose job is not there."""

from collections.abc import Sequence
from uuid import UUID

from scheduler_svc.engine import holding
from scheduler_svc.engine.aftermath import alert_job
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection


async def with_jobs(
    parts: Parts,
    conn: Connection,
    parking: Parking,
    claimed: Sequence[ClaimedRun],
    *,
    now_ms: int,
) -> list[tuple[ClaimedRun, KnownJob]]:
    """Return the claimed runs that can be sent, each with its job; end the others."""
    jobs = await _jobs_of(parts, conn, parking, [claim.job_id for claim in claimed])
    found, lost = [], []
    for claim in claimed:
        job = alert_job(parts, claim) or jobs.get(claim.job_id)
        if job is None:
            lost.append(_lost(claim, now_ms, deleted=claim.job_id not in jobs))
        else:
            found.append((claim, job))
    if lost:
        await settlements.settle(conn, lost)
    return await holding.keep_back(parts.holds, conn, found, replica=parts.replica)


async def _jobs_of(
    parts: Parts, conn: Connection, parking: Parking, job_ids: list[UUID]
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
            await parking.park(conn, stored.id, error)
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
        finished_ms=now_ms,
    )
