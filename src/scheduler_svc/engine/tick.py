"""One pass of the loop: lock what is due, decide it, write it, and hold what is to be sent.

A look at the timers is one short transaction. It asks for no more than the free slots, and reports
when it should be looked again. `pace` decides when that is; `waiting` takes the runs that wait.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import Decision, NewRun, Timer
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import scheduled_ms_of
from scheduler_svc.domain.pressure import Key
from scheduler_svc.engine import deciding, holding, locked_timers, resume, run_quota
from scheduler_svc.engine.deciding import BEHIND_MS, About, Decided, decide_locked
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.placing import Placing, worth_locking
from scheduler_svc.store import notices, settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import NIL, Contested, Mark, Plain

CROWD_SHARE = 4
"""A namespace with a fourth of a whole batch is a crowd, and others may be due behind it."""
Lock = Callable[[Connection, int], Awaitable[list[Timer]]]
Told = Callable[["Scan"], None]


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
    cut: bool = False
    """Timers behind the mark are locked until it is written."""
    resumed: tuple[UUID, ...] = ()
    missing: frozenset[str] = frozenset()
    """Namespaces whose quota of runs could not be judged."""
    left_ms: int | None = None
    """When the earliest of the timers that were left where they are was to be sent."""
    mostly_left: bool = False
    """What follows is read past first (`behind`)."""
    crowds: frozenset[str] = frozenset()
    """The namespaces that had a good part of a whole batch, or of which timers were left."""
    known: Mapping[UUID, KnownJob] = {}
    """The jobs of the decisions: one that has ended meanwhile is remembered no more."""


def unheard(_: Scan) -> None:
    """Wait for the claim itself."""


class Telling(msgspec.Struct, frozen=True):
    """Who hears what of a look while it is made."""

    parking: Parking
    expect: Callable[[Mapping[Key, int]], None]


class Look(msgspec.Struct, frozen=True):
    """Which timers are locked, from where on, and how many at most."""

    lock: Lock
    after: Mark
    batch: int
    portion: int
    """How many runs of an outage are decided."""
    told: Told = unheard
    """Hears what was found as soon as it is decided, before it is written."""


async def claim_timers(
    parts: Parts, after: Mark, *, room: int, portion: int, told: Told = unheard
) -> Scan:
    """Take the next batch of timers that are due within the lookahead, in one transaction; of an
    outage only a portion.
    """
    batch = worth_locking(parts, room)
    if after.job_id != NIL and after.fire_ms < parts.clock.now_ms() - BEHIND_MS:
        batch = min(batch, portion)

    async def lock(conn: Connection, horizon_ms: int) -> list[Timer]:
        return await timers.lock_due(conn, after, horizon_ms=horizon_ms, batch=batch)

    return await _claimed_by(parts, Look(lock, after, batch, portion, told))


async def claim_listed(parts: Parts, job_ids: list[UUID]) -> Scan:
    """Take these jobs' timers, as far as they are due and free, in one transaction."""

    async def lock(conn: Connection, horizon_ms: int) -> list[Timer]:
        return await timers.lock_listed(conn, job_ids, horizon_ms=horizon_ms)

    return await _claimed_by(parts, Look(lock, Mark(), len(job_ids) + 1, deciding.RUNS_MAX))


async def _claimed_by(parts: Parts, look: Look) -> Scan:
    parking = Parking(parts)
    with parts.hand.expecting() as expect:

        async def work(conn: Connection, *, contested: bool = False) -> Scan:
            expect({})  # what a look that is made anew had said of itself
            told = Telling(parking, expect)
            return await _claim(parts, conn, look, told, contested=contested)

        try:
            scan = await parking.run(work)
        except Contested:
            scan = await parking.run(partial(work, contested=True))
        parking.tell()
        await run_quota.make_missing(parts, scan.missing)
        for job_id in scan.resumed:
            parts.on_event(EventName.JOB_RESUMED, job_id=job_id)
        taken = parts.hand.taken
        for decision in scan.decisions:
            job = parts.jobs.get(decision.job.id, decision.job.revision)
            _take(parts, decision, job or scan.known.get(decision.job.id), scan.written)
        parts.hand.add_all([(one.claim, job) for one, job in scan.plain])
    if parts.hand.taken > taken:
        parts.to_send.ring()
    # What is sent at its instant finds it at hand then, and goes the short way.
    signed = {job.key.namespace for _, job in scan.plain if job.prepared.signed}
    await parts.secrets.have_signers(signed)
    return scan


async def _claim(
    parts: Parts, conn: Connection, look: Look, telling: Telling, *, contested: bool
) -> Scan:
    locked = await look.lock(conn, parts.clock.now_ms() + parts.limits.lookahead_ms)
    if not locked:
        return Scan([], frozenset(), [], None, look.after, full=False)
    ending = await resume.end_pauses(parts, conn, locked)
    known = await locked_timers.known_of(parts, conn, locked, telling.parking)
    now_ms = parts.clock.now_ms()
    sifted = await holding.sift(parts.holds, conn, locked, known, now_ms=now_ms)
    known = sifted.known
    standing = await locked_timers.standing_of(conn, locked, known)
    now_ms = parts.clock.now_ms()
    quotas = await run_quota.locked_for(parts, conn, known.values(), now_ms=now_ms)
    placing = Placing(parts, now_ms=now_ms)
    about = About(
        ending,
        sifted,
        standing,
        quotas,
        placing,
        telling.parking,
        now_ms,
        look.portion,
        contested,
        await locked_timers.recorded_of(conn, locked, known) if contested else {},
    )
    decided = await decide_locked(conn, locked, about)
    if not contested and await locked_timers.are_recorded(conn, decided.decisions):
        raise Contested
    scan = _found(locked, look.batch, about, decided)
    telling.expect(placing.taken())
    # The calendar of a namespace is locked until it is written, and the next claim only tries it.
    if quotas is run_quota.NO_RUN_QUOTAS:
        look.told(scan)
    await quotas.save(conn)
    written = await _write(parts, conn, scan.decisions, now_ms) if scan.decisions else set()
    if not contested and len(written) < sum(len(each.runs) for each in scan.decisions):
        raise Contested  # what is there already may be the first of a range that is not
    if scan.plain:
        claims = [one for one, _ in scan.plain]
        await timers.write_plain(conn, claims, replica=parts.replica, now_ms=now_ms)
    return msgspec.structs.replace(scan, written=frozenset(written))


def _found(locked: list[Timer], batch: int, about: About, decided: Decided) -> Scan:
    """Tell of a look what is known before it is written."""
    placing, known, now_ms = about.placing, about.sifted.known, about.now_ms
    again, last = decided.again, decided.last
    # What is due still, or again, lies behind the mark.
    again += [d.fire_ms for d in decided.decisions if d.fire_ms and d.fire_ms <= now_ms]
    again += [one.next_ms for one, _ in decided.plain if one.next_ms <= now_ms]
    cut = last is not locked[-1]
    many = _many(known) if len(locked) == batch else set()
    return Scan(
        decided.decisions,
        frozenset(),
        decided.plain,
        min(again, default=None),
        Mark(last.fire_ms, last.job_id),
        full=(len(locked) == batch or cut) and not placing.choked,
        cut=cut,
        resumed=tuple(decision.job.id for decision in about.ending.decisions),
        left_ms=placing.left_ms,
        mostly_left=placing.left * 2 > len(locked),
        crowds=frozenset(placing.crowds | many),
        missing=about.quotas.missing,
        known=known,
    )


def _many(known: dict[UUID, KnownJob]) -> set[str]:
    """Return the namespaces that have a good part of a batch."""
    counts = Counter([job.key.namespace for job in known.values()])
    return {name for name, count in counts.items() if count * CROWD_SHARE >= len(known)}


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


def _take(parts: Parts, decision: Decision, job: KnownJob | None, written: frozenset[UUID]) -> None:
    """Hold the runs of a committed decision, and tell what it ended."""
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
