"""One pass of the loop: lock what is due, decide it, write it, and hold what is to be sent.

A pass is one short transaction for the timers and one statement for runs that wait. It asks for no
more than the free slots, and reports when it should be looked again. `pace` decides when that is.
"""

from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import Decision, Deferred, NewRun, Timer, decide
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at, scheduled_ms_of
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import claims, notices, settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection, run_once_more
from scheduler_svc.store.timers import Mark


class Scan(msgspec.Struct, frozen=True):
    """What one look at the timers found."""

    decisions: list[Decision]
    written: frozenset[UUID]
    deferred_ms: int | None
    mark: Mark
    full: bool


async def claim_timers(parts: Parts, after: Mark, *, room: int) -> Scan:
    """Take the next batch of timers that are due within the lookahead, in one transaction."""
    batch = min(parts.limits.batch, room)
    scan = await run_once_more(
        parts.pool,
        lambda conn: _claim(parts, conn, after, batch),
        seconds=parts.limits.database_seconds,
    )
    for decision in scan.decisions:
        _take(parts, decision, scan.written)
    return scan


async def claim_waiting(parts: Parts) -> bool:
    """Take a batch of runs that are due already; tell whether there may be more."""
    batch = min(parts.limits.batch, parts.hand.free)
    if batch == 0:
        return False
    taken, found = await run_once_more(
        parts.pool,
        lambda conn: _claim_waiting(parts, conn, batch),
        seconds=parts.limits.database_seconds,
    )
    for claim, job in found:
        parts.hand.add(claim, job)
    if found:
        parts.to_send.ring()
    return taken == batch


async def _claim(parts: Parts, conn: Connection, after: Mark, batch: int) -> Scan:
    horizon_ms = parts.clock.now_ms() + parts.limits.lookahead_ms
    locked = await timers.lock_due(conn, after, horizon_ms=horizon_ms, batch=batch)
    if not locked:
        return Scan([], frozenset(), None, after, full=False)
    known = await _known(parts, conn, locked)
    standing = await _standing(conn, locked, known)
    now_ms = parts.clock.now_ms()
    decisions, deferred_ms = [], None
    for timer in locked:
        job = known.get(timer.job_id)
        if job is None:
            continue
        verdict = await _decide(
            parts, conn, job, timer, standing=standing.get(timer.job_id, []), now_ms=now_ms
        )
        if isinstance(verdict, Deferred):
            deferred_ms = min(verdict.fire_ms, deferred_ms or verdict.fire_ms)
        elif verdict is not None:
            decisions.append(verdict)
    decisions = _within_slots(decisions, parts.hand.free)
    written = await _write(parts, conn, decisions, now_ms) if decisions else set()
    mark = Mark(locked[-1].fire_ms, locked[-1].job_id)
    return Scan(decisions, frozenset(written), deferred_ms, mark, full=len(locked) == batch)


async def _standing(
    conn: Connection, locked: list[Timer], known: dict[UUID, KnownJob]
) -> dict[UUID, list[OpenRun]]:
    """Return the unfinished runs that matter to each timer.

    Of a job that allows overlap only the run of this very occurrence does: where an edit put the
    timer back, some replica may still hold it.
    """
    contested, allowed = [], []
    for timer in locked:
        job = known.get(timer.job_id)
        if job is None or timer.scheduled_ms is None:
            continue
        if job.plan.definition.overlap == "allow":
            allowed.append((timer.job_id, timer.scheduled_ms))
        else:
            contested.append(timer.job_id)
    standing = await timers.open_runs(conn, contested) if contested else {}
    return standing | (await timers.open_occurrences(conn, allowed) if allowed else {})


async def _known(parts: Parts, conn: Connection, locked: list[Timer]) -> dict[UUID, KnownJob]:
    """Return the locked timers' jobs, reading those whose present revision is not known."""
    known = {}
    missing = []
    for timer in locked:
        job = parts.jobs.get(timer.job_id, timer.revision)
        if job is None:
            missing.append(timer.job_id)
        else:
            known[timer.job_id] = job
    if missing:
        for stored in await timers.load_definitions(conn, missing):
            try:
                known[stored.id] = parts.jobs.learn(stored)
            except Exception as error:  # noqa: BLE001 - the poison guard
                await _park(parts, conn, stored.id, error)
    return known


async def _decide(
    parts: Parts,
    conn: Connection,
    job: KnownJob,
    timer: Timer,
    *,
    standing: list[OpenRun],
    now_ms: int,
) -> Decision | Deferred | None:
    try:
        return decide(job.plan, timer, standing, now_ms=now_ms)
    except Exception as error:  # noqa: BLE001 - the poison guard
        await _park(parts, conn, timer.job_id, error)
        return None


async def _park(parts: Parts, conn: Connection, job_id: UUID, error: Exception) -> None:
    """Set a job aside that can not be decided; the pass goes on (DESIGN 6.8)."""
    reason = f"the service could not decide this job: {type(error).__name__}"
    await settlements.pause_jobs(conn, [job_id], reason=reason, now_ms=parts.clock.now_ms())
    parts.on_event(EventName.JOB_PARKED, job_id=job_id, error=repr(error))


async def _write(
    parts: Parts, conn: Connection, decisions: list[Decision], now_ms: int
) -> set[UUID]:
    written = await timers.write_decisions(conn, decisions, replica=parts.replica, now_ms=now_ms)
    completed = [decision.job.id for decision in decisions if decision.completed]
    if completed:
        await timers.complete_jobs(conn, completed, now_ms=now_ms)
    stopped = [(run_id, scheduled_ms_of(run_id)) for d in decisions for run_id in d.cancel]
    if stopped:
        running = await settlements.cancel_runs(conn, stopped, reason="overlap", now_ms=now_ms)
        for run_id in running:
            await notices.cancel(conn, run_id)
    return written


def _within_slots(decisions: list[Decision], free: int) -> list[Decision]:
    """Turn what is more than the free slots into waiting runs: overflow, taken by whoever can."""
    kept = []
    for decision in decisions:
        runs = list(decision.runs)
        for index, run in enumerate(runs):
            if run.status != "running":
                continue
            if free > 0:
                free -= 1
            else:
                runs[index] = msgspec.structs.replace(run, status="due")
        kept.append(msgspec.structs.replace(decision, runs=runs))
    return kept


def _take(parts: Parts, decision: Decision, written: frozenset[UUID]) -> None:
    """Hold the runs of a committed decision, and tell what it ended."""
    job = parts.jobs.get(decision.job.id, decision.job.revision)
    for run in decision.runs:
        if run.id not in written:
            continue
        if run.status == "running" and job is not None:
            parts.hand.add(_claimed(decision, run), job)
            parts.to_send.ring()
        elif run.status == "skipped":
            parts.on_event(
                EventName.RUN_SKIPPED,
                run_id=run.id,
                job_id=decision.job.id,
                reason=run.reason,
                occurrences=run.occurrences,
            )
    if decision.completed:
        parts.on_event(EventName.JOB_COMPLETED, job_id=decision.job.id)


def _claimed(decision: Decision, run: NewRun) -> ClaimedRun:
    return ClaimedRun(
        id=run.id,
        job_id=decision.job.id,
        scheduled_ms=run.scheduled_ms,
        fire_ms=run.fire_ms,
        trigger=run.trigger,
        attempt=1,
    )


async def _claim_waiting(
    parts: Parts, conn: Connection, batch: int
) -> tuple[int, list[tuple[ClaimedRun, KnownJob]]]:
    """Take a batch; return how many were taken, and those that can be sent."""
    now_ms = parts.clock.now_ms()
    claimed = await claims.claim_due_runs(
        conn,
        horizon_ms=now_ms + parts.limits.lookahead_ms,
        batch=batch,
        replica=parts.replica,
        now_ms=now_ms,
    )
    if not claimed:
        return 0, []
    jobs = await _jobs_of(parts, conn, [claim.job_id for claim in claimed])
    found, lost = [], []
    for claim in claimed:
        job = jobs.get(claim.job_id)
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
            await _park(parts, conn, stored.id, error)
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
