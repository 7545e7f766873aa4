"""One pass of the loop: lock what is due, decide it, write it, and hold what is to be sent.

A look at the timers is one short transaction. It asks for no more than the free slots, and reports
when it should be looked again. `pace` decides when that is; `waiting` takes the runs that wait.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import (
    Decision,
    NewRun,
    Timer,
)
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import scheduled_ms_of
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.engine import deciding, holding, resume, run_quota
from scheduler_svc.engine.deciding import BEHIND_MS, About, decide_locked, park
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.placing import Placing
from scheduler_svc.store import notices, settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection, run_once_more
from scheduler_svc.store.timers import NIL, Mark, Plain

CHOKED_BATCH = 50
LEARNT_IN_A_ROW = 200
CROWD_SHARE = 4
"""A namespace with a fourth of a whole batch is a crowd, and others may be due behind it."""
Lock = Callable[[Connection, int], Awaitable[list[Timer]]]


class Scan(msgspec.Struct, frozen=True):
    """What one look at the timers found."""

    decisions: list[Decision]
    written: frozenset[UUID]
    plain: list[tuple[Plain, KnownJob]]
    """What is simply sent at its instant, and was written."""
    deferred_ms: int | None
    """The earliest instant at which a timer that was looked at wants to be looked at again."""
    mark: Mark
    full: bool
    resumed: tuple[UUID, ...] = ()
    missing: frozenset[str] = frozenset()
    """Namespaces whose quota of runs could not be judged."""
    left_ms: int | None = None
    """When the earliest of the timers that were left where they are was to be sent."""
    mostly_left: bool = False
    """What follows is read past first (`behind`)."""
    crowds: frozenset[str] = frozenset()
    """The namespaces that had a good part of a whole batch, or of which timers were left."""


async def claim_timers(parts: Parts, after: Mark, *, room: int, portion: int) -> Scan:
    """Take the next batch of timers that are due within the lookahead, in one transaction; of an
    outage only a portion.
    """
    batch = _batch(parts, room)
    if after.job_id != NIL and after.fire_ms < parts.clock.now_ms() - BEHIND_MS:
        batch = min(batch, portion)

    async def lock(conn: Connection, horizon_ms: int) -> list[Timer]:
        return await timers.lock_due(conn, after, horizon_ms=horizon_ms, batch=batch)

    return await _claimed_by(parts, lock, after, batch, portion=portion)


async def claim_listed(parts: Parts, job_ids: list[UUID]) -> Scan:
    """Take these jobs' timers, as far as they are due and free, in one transaction."""

    async def lock(conn: Connection, horizon_ms: int) -> list[Timer]:
        return await timers.lock_listed(conn, job_ids, horizon_ms=horizon_ms)

    batch = len(job_ids) + 1
    return await _claimed_by(parts, lock, Mark(), batch, portion=deciding.RUNS_MAX)


async def _claimed_by(parts: Parts, lock: Lock, after: Mark, batch: int, *, portion: int) -> Scan:
    scan = await run_once_more(
        parts.pool,
        lambda conn: _claim(parts, conn, lock, after, batch, portion=portion),
        seconds=parts.limits.database_seconds,
    )
    await run_quota.make_missing(parts, scan.missing)
    for job_id in scan.resumed:
        parts.on_event(EventName.JOB_RESUMED, job_id=job_id)
    taken = parts.hand.taken
    for decision in scan.decisions:
        _take(parts, decision, scan.written)
    parts.hand.add_all([(one.claim, job) for one, job in scan.plain])
    if parts.hand.taken > taken:
        parts.to_send.ring()
    # What is sent at its instant finds it at hand then, and goes the short way.
    signed = {job.key.namespace for _, job in scan.plain if job.prepared.signed}
    await parts.secrets.have_signers(signed)
    return scan


def _batch(parts: Parts, room: int) -> int:
    """Lock no more timers than will be taken, where a quick key or namespace has all it may."""
    batch, pressure, hand = min(parts.limits.batch, room), parts.pressure, parts.hand
    if (choked := pressure.choked) is not None:
        left = pressure.room(choked, held=hand.of_key(choked), free=hand.free)
        batch = min(batch, max(left, CHOKED_BATCH))
    if (crowded := pressure.crowded) is not None:
        left = pressure.room_of_namespace(held=hand.of_namespace(crowded), free=hand.free)
        batch = min(batch, max(left, CHOKED_BATCH))
    return batch


async def _claim(
    parts: Parts, conn: Connection, lock: Lock, after: Mark, batch: int, *, portion: int
) -> Scan:
    locked = await lock(conn, parts.clock.now_ms() + parts.limits.lookahead_ms)
    if not locked:
        return Scan([], frozenset(), [], None, after, full=False)
    ending = await resume.end_pauses(parts, conn, locked)
    known = await _known(parts, conn, locked)
    now_ms = parts.clock.now_ms()
    sifted = await holding.sift(parts.holds, conn, locked, known, now_ms=now_ms)
    known = sifted.known
    standing = await _standing(conn, locked, known)
    now_ms = parts.clock.now_ms()
    quotas = await run_quota.locked_for(parts, conn, known.values(), now_ms=now_ms)
    placing = Placing(parts, now_ms=now_ms)
    about = About(ending, sifted, standing, quotas, placing, now_ms, portion)
    decided = await decide_locked(parts, conn, locked, about)
    decisions, again, last = decided.decisions, decided.again, decided.last
    await quotas.save(conn)
    written = await _write(parts, conn, decisions, now_ms) if decisions else set()
    plain = await _write_plain(parts, conn, decided.plain, now_ms) if decided.plain else []
    # What is due still, or again, lies behind the mark.
    again += [d.fire_ms for d in decisions if d.fire_ms is not None and d.fire_ms <= now_ms]
    again += [one.next_ms for one, _ in plain if one.next_ms <= now_ms]
    return Scan(
        decisions,
        frozenset(written),
        plain,
        min(again, default=None),
        Mark(last.fire_ms, last.job_id),
        full=(len(locked) == batch or last is not locked[-1]) and not placing.choked,
        resumed=tuple(d.job.id for d in ending.decisions),
        left_ms=placing.left_ms,
        mostly_left=placing.left * 2 > len(locked),
        crowds=frozenset(placing.crowds | (_many(known) if len(locked) == batch else set())),
        missing=quotas.missing,
    )


def _many(known: dict[UUID, KnownJob]) -> set[str]:
    """Return the namespaces that have a good part of a batch."""
    counts = Counter([job.key.namespace for job in known.values()])
    return {name for name, count in counts.items() if count * CROWD_SHARE >= len(known)}


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
                await park(parts, conn, stored.id, error)
    return known


async def known_unlocked(parts: Parts, conn: Connection, seen: list[Timer]) -> dict[UUID, KnownJob]:
    """Return the jobs of timers that were only read, each of the revision of its timer."""
    known: dict[UUID, KnownJob] = {}
    missing: dict[UUID, int] = {}
    for timer in seen:
        job = parts.jobs.get(timer.job_id, timer.revision)
        if job is None:
            missing[timer.job_id] = timer.revision
        else:
            known[timer.job_id] = job
    loaded = await timers.load_definitions(conn, list(missing)) if missing else []
    for count, stored in enumerate(loaded, 1):
        try:
            job = parts.jobs.learn(stored)
        except Exception:  # noqa: BLE001, S112 - who locks its timer meets the same, and parks it
            continue
        if job.plan.revision == missing[stored.id]:
            known[stored.id] = job
        if count % LEARNT_IN_A_ROW == 0:
            await asyncio.sleep(0)  # what is due meanwhile leaves between
    return known


async def _write_plain(
    parts: Parts, conn: Connection, plain: list[tuple[Plain, KnownJob]], now_ms: int
) -> list[tuple[Plain, KnownJob]]:
    """Write plain claims; return those whose runs were not there already."""
    refused = await timers.write_plain(
        conn, [one for one, _ in plain], replica=parts.replica, now_ms=now_ms
    )
    return [pair for pair in plain if pair[0].claim.id not in refused] if refused else plain


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


def _take(parts: Parts, decision: Decision, written: frozenset[UUID]) -> None:
    """Hold the runs of a committed decision, and tell what it ended."""
    job = parts.jobs.get(decision.job.id, decision.job.revision)
    for run in decision.runs:
        if run.id not in written:
            continue
        if run.status == "running" and job is not None:
            parts.hand.add(_claimed(decision, run), job)
        elif run.status == "skipped":
            parts.on_event(
                EventName.RUN_SKIPPED,
                run_id=run.id,
                job_id=decision.job.id,
                reason=run.reason,
                occurrences=run.occurrences,
                policy=decision.job.definition.misfire.policy,
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
