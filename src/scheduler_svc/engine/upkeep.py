"""Upkeep: the heartbeat, and rescue of runs of the dead.

Each duty is bounded and repeats. The heartbeat has a loop of its own, for all that a replica may
do hangs on it; the rest shares one.
"""

import asyncio

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.engine import aftermath, dispatch, guard
from scheduler_svc.engine.alarm import rest
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.glance import bell_for, is_there, next_look
from scheduler_svc.engine.guard import Watch
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.store import pressure, replicas, settlements, spent
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Connection, connection, is_database_away, run_once_more
from scheduler_svc.store.replicas import Beat, Identity, Rescued

RESCUE_BATCH = 500
RESCUE_SECONDS = 1.0
SPENT_BATCH = 500
STRAY_SECONDS = 10.0
STRAY_AGE_MS = 5000
REPLICA_KEPT_MS = 3_600_000
KEY_KEPT_MS = 60_000
STEP_SECONDS = 1.0
ENDED_BY_RESCUE = frozenset({"failed", "succeeded"})


class Heart(msgspec.Struct, kw_only=True):
    """One replica's heartbeat: who it is, and how the last beats went."""

    who: Identity
    seconds: float
    started_ms: int = 0
    gap_ended: float = float("-inf")
    """The monotonic instant from which on this replica has heard the database without a gap, and by
    one and the same clock."""
    missed: bool = False
    lapsed: bool = False
    watch: Watch = msgspec.field(default_factory=Watch)


async def beat(parts: Parts, heart: Heart, clock: DatabaseClock, outbox: Outbox) -> bool:
    """Renew the lease once and read the clock; raise what the database raises.

    Returns whether the database's clock was set meanwhile: then the lease just written counts by
    the old one, and so do those of the others, who have not had the time to say that they live.
    """
    claims = heart.who.role != "api"
    if await guard.look(parts, heart.watch, claims=claims, seconds=heart.seconds):
        parts.lease.ended()
        heart.gap_ended = clock.monotonic()
    sent = clock.monotonic()
    now_ms = clock.now_ms()
    async with connection(parts.pool, seconds=heart.seconds) as conn:
        await replicas.heartbeat(
            conn,
            heart.who,
            Beat(
                started_at=instant_at(heart.started_ms or now_ms),
                now_ms=now_ms,
                lease_until_ms=now_ms + int(parts.lease.seconds * 1000),
                running=len(parts.hand),
                clock_offset_ms=clock.wall_offset_ms(),
            ),
        )
        asked = clock.monotonic()
        now = await replicas.database_now(conn)  # by itself: the beat waits for the disk
        received = clock.monotonic()
        held = [(one.claim.id, one.claim.scheduled_ms) for one in parts.hand]
        wanted = await replicas.cancel_wanted(conn, heart.who.id, held) if held else []
    heart.watch.wrote(now_ms, sent)
    stepped = clock.observe(sent=asked, received=received, now=now)
    was_set = abs(stepped) > STEP_SECONDS
    if was_set:
        parts.on_event(EventName.CLOCK_STEPPED, seconds=round(stepped, 3))
        heart.gap_ended = received
    if not parts.lease.held:
        _lapse(parts, outbox)
    parts.lease.renewed(sent)
    for run_id in wanted:
        dispatch.cancel(parts, outbox, run_id)
    return was_set


def _lapse(parts: Parts, outbox: Outbox) -> None:
    """Take out of sending what was held when the lease ended: others may have it by now."""
    unsent = parts.hand.unsent()
    parts.hand.withdraw(unsent)
    for held in unsent:
        outbox.unsendable(held)


async def heartbeats(parts: Parts, heart: Heart, clock: DatabaseClock, outbox: Outbox) -> None:
    """Beat for ever; a beat that fails is tried again at once, and then at the usual pace."""
    heart.gap_ended = clock.monotonic()
    while True:
        try:
            was_set = await beat(parts, heart, clock, outbox)
        except Exception as error:
            if not is_database_away(error):
                raise
            if not heart.lapsed and not parts.lease.held:
                parts.on_event(EventName.LEASE_LOST, error=repr(error))
                heart.lapsed = True
            heart.missed = True
            await asyncio.sleep(min(1.0, heart.seconds / 3))
            continue
        if heart.missed:
            heart.missed, heart.lapsed, heart.gap_ended = False, False, clock.monotonic()
            parts.to_claim.ring()
            parts.to_settle.ring()
        if was_set:
            parts.to_claim.ring()
            continue  # the lease is written anew at once, by the clock as it is now
        await rest(heart.seconds, Turn.HEARTBEAT)


async def rescues(parts: Parts, heart: Heart, outbox: Outbox) -> None:
    """Take over from the dead, give back what lapsed, free what is stranded; for ever."""
    bell = bell_for(parts, "rescue", "spent", bell=parts.to_mend)
    stray_at = float("-inf")
    while True:
        until_stray = 0.0 if outbox.lapsed else stray_at - parts.clock.monotonic()
        await bell.rest(max(RESCUE_SECONDS, until_stray), Turn.UPKEEP)
        bell.clear()
        if not parts.lease.held:
            continue
        try:
            await give_back_lapsed(parts, outbox)
            if may_rescue(parts, heart) and await is_there(parts, "rescue"):
                await rescue(parts)
            if await is_there(parts, "spent"):
                await delete_spent(parts)
            if (began := parts.clock.monotonic()) > stray_at:
                await free_stranded(parts)
                await give_back_strays(parts)
                stray_at = next_look(began, parts.clock.monotonic(), STRAY_SECONDS)
        except Exception as error:
            if not is_database_away(error):
                raise


def may_rescue(parts: Parts, heart: Heart) -> bool:
    """Tell whether the others have had the time to say that they live.

    For half a lease after this replica started, lost the database or saw its clock set, a lease
    that is over proves nothing: so they did, and who lives has not beaten yet.
    """
    return parts.clock.monotonic() > heart.gap_ended + parts.lease.seconds / 2


async def rescue(parts: Parts) -> int:
    """Return runs of dead replicas to `due`, batch by batch; return how many there were."""

    async def take_over(conn: Connection) -> list[Rescued]:
        return await replicas.rescue(conn, now_ms=parts.clock.now_ms(), batch=RESCUE_BATCH)

    count = 0
    while True:
        found = await run_once_more(parts.pool, take_over, seconds=parts.limits.database_seconds)
        for run in found:
            parts.on_event(
                EventName.RUN_RESCUED,
                run_id=run.id,
                job_id=run.job_id,
                status=run.status,
                reason=run.reason,
                trigger=run.trigger,
                attempt=run.attempt,
            )
        count += len(found)
        if found:
            parts.to_claim.ring()
        await aftermath.note_unheld(
            parts, [run.id for run in found if run.status in ENDED_BY_RESCUE]
        )
        if len(found) < RESCUE_BATCH:
            return count


async def delete_spent(parts: Parts) -> int:
    """Delete completed jobs that are to be deleted then; return how many there were."""

    async def take(conn: Connection) -> list[spent.Spent]:
        return await spent.delete_spent(conn, batch=SPENT_BATCH)

    count = 0
    while True:
        found = await run_once_more(parts.pool, take, seconds=parts.limits.database_seconds)
        for job_id, namespace in found:
            parts.on_event(EventName.JOB_DELETED, job_id=job_id, namespace=namespace)
        count += len(found)
        if len(found) < SPENT_BATCH:
            return count


async def give_back_lapsed(parts: Parts, outbox: Outbox) -> None:
    """Give up what could not be given up when it should have been: it was not sent."""
    for forget in (True, False):
        lapsed = [entry for entry in outbox.lapsed if entry[1] is forget]
        await give_up(parts, [held for held, _ in lapsed], forget=forget)
        outbox.lapsed = [entry for entry in outbox.lapsed if entry not in lapsed]


async def give_up(parts: Parts, runs: list[HeldRun], *, forget: bool) -> None:
    """Put unsent runs back, or take first attempts of the schedule away where told to forget."""
    if not runs:
        return
    drop = [h.key for h in runs if forget and h.claim.trigger == "schedule" and h.first]
    now_ms = parts.clock.now_ms()

    async def write(conn: Connection) -> None:
        if drop:
            await settlements.forget_runs(conn, drop, replica=parts.replica, now_ms=now_ms)
        # Also what was to be forgotten and is still there: its timer is past it, so it must go out.
        await settlements.release_runs(conn, [h.key for h in runs], replica=parts.replica)

    await run_once_more(parts.pool, write, seconds=parts.limits.database_seconds)
    for held in runs:
        parts.pressure.unsent(held)
        parts.hand.drop(held)
    parts.to_claim.ring()


async def free_stranded(parts: Parts) -> None:
    """Let go runs that wait behind nothing; forget replicas long dead and keys that are quiet."""
    now_ms = parts.clock.now_ms()
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        if await settlements.release_stranded(conn, now_ms=now_ms):
            parts.to_claim.ring()
        await replicas.prune_replicas(conn, before_ms=now_ms - REPLICA_KEPT_MS)
        await pressure.prune_keys(conn, before_ms=now_ms - KEY_KEPT_MS)


async def give_back_strays(parts: Parts) -> int:
    """Put back runs that are ours by the database and not in our hand; return how many.

    A claim may commit though its answer is lost. Such a run was never sent from here: what is sent
    stays in the hand until its end is written.
    """
    before = parts.hand.ids()
    now_ms = parts.clock.now_ms()
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        ours = await settlements.runs_of(conn, parts.replica, before_ms=now_ms - STRAY_AGE_MS)
        strays = [run for run in ours if run.id not in before and run.id not in parts.hand]
        if strays:
            await settlements.release_runs(conn, strays, replica=parts.replica)
            parts.to_claim.ring()
    return len(strays)
