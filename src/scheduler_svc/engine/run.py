"""The life of one engine: its loops in one task group, and the sequence of its end.

Drain: stop claiming; give unsent runs back; let running attempts end within the grace time; settle;
hand over what is left; leave. A loop that raises ends the engine, and the service with it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.engine import (
    audit,
    backfill,
    dispatch,
    drift,
    glance,
    hear,
    history,
    keys,
    namespaces,
    pace,
    prune,
    release,
    replay,
    settle,
    sweep,
    upkeep,
    watch,
)
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.history import Keeping
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.engine.upkeep import Heart
from scheduler_svc.store import replicas
from scheduler_svc.store.pool import connection, is_database_away

SETTLE_SECONDS = 5.0
"""Of the grace time, what is kept for settling after the last attempt was let go; half at most."""
LEAVE_SECONDS = 1.0
FLUSH_PAUSE_SECONDS = 0.05
DRAIN_PAUSE_SECONDS = 0.02

Listener = Callable[[Callable[[str, str], None]], Awaitable[None]]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that is ready to run."""

    parts: Parts
    clock: DatabaseClock
    heart: Heart
    pace: Pace
    listener: Listener | None
    claims: bool
    """False in a replica of the role `api`: it beats and keeps the clock, and claims nothing."""
    keeping: Keeping
    retention_days: int
    grace_seconds: float
    audited: audit.AuditRules = audit.AuditRules()


async def run(engine: Engine, stop: asyncio.Event) -> None:
    """Work until told to stop, then drain; the group of loops owns every task."""
    parts = engine.parts
    outbox = Outbox(parts)
    async with asyncio.TaskGroup() as tasks:
        beats = upkeep.heartbeats(parts, engine.heart, engine.clock, outbox)
        loops = {"heartbeats": tasks.create_task(beats, name="heartbeats")}
        if engine.claims:
            loops |= _working(engine, outbox, tasks)
        else:
            known = namespaces.refreshes(parts.namespaces, parts.pool, hears=False)
            loops["namespaces"] = tasks.create_task(known, name="namespaces")
        parts.on_event(EventName.REPLICA_STARTED, replica=parts.replica)
        await stop.wait()
        parts.on_event(EventName.REPLICA_DRAINING, held=len(parts.hand))
        await _drain(engine, outbox, loops)
        for loop in loops.values():
            loop.cancel()
    parts.on_event(EventName.REPLICA_STOPPED, replica=parts.replica)


def _working(
    engine: Engine, outbox: Outbox, tasks: asyncio.TaskGroup
) -> dict[str, asyncio.Task[None]]:
    parts = engine.parts
    heard = hear.hearer(parts, engine.pace, outbox, tasks)
    work = {
        "pace": pace.run(parts, engine.pace),
        "dispatch": dispatch.run(parts, outbox, tasks),
        "settle": settle.run(parts, outbox),
        "rescues": upkeep.rescues(parts, engine.heart, outbox),
        "days": history.days(parts, engine.keeping),
        "sweeps": sweep.sweeps(parts, engine.keeping),
    }
    work["expectations"] = drift.refreshes(parts)
    hears = engine.listener is not None
    work["namespaces"] = namespaces.refreshes(parts.namespaces, parts.pool, hears=hears)
    work["looks"] = glance.looks(parts)
    work["prunes"] = prune.prunes(parts)
    work["audit seals"] = audit.seals(parts, engine.audited)
    work["audit prunes"] = audit.prunes(parts, engine.audited)
    work["backfills"] = backfill.backfilling(parts, retention_days=engine.retention_days)
    work["watches"] = watch.watches(parts)
    work["releases"] = release.releases(parts, engine.pace)
    work["replays"] = replay.replaying(parts, retention_days=engine.retention_days)
    if engine.listener is not None:
        work["listen"] = _listen(engine.listener, heard)
    return {name: tasks.create_task(loop, name=name) for name, loop in work.items()}


async def _listen(listener: Listener, heard: Callable[[str, str], None]) -> None:
    await listener(heard)


async def _drain(engine: Engine, outbox: Outbox, loops: dict[str, asyncio.Task[None]]) -> None:
    """End in order; the grace time bounds the whole, also where the database does not answer."""
    parts = engine.parts
    now = asyncio.get_running_loop().time
    last_send = now() + engine.grace_seconds - min(SETTLE_SECONDS, engine.grace_seconds / 2)
    last_settle = now() + max(0.0, engine.grace_seconds - LEAVE_SECONDS)
    engine.pace.stopped = True
    parts.to_claim.ring()
    if "pace" in loops:
        # A pass under way still holds what it claims; only then is the hand complete.
        await asyncio.wait([loops["pace"]], timeout=max(0.0, last_send - now()))
    await _best_effort(release_unsent(parts, outbox), seconds=last_settle - now())
    attempts = [held.task for held in parts.hand.sending() if held.task is not None]
    # Most of them are told of their end, and nobody can wait for that.
    while now() < last_send and not all(task.done() for task in attempts):  # noqa: ASYNC110
        await asyncio.sleep(DRAIN_PAUSE_SECONDS)
    for task in attempts:
        task.cancel()
    while outbox.ended and now() < last_settle:  # noqa: ASYNC110 - the settle loop empties it
        await asyncio.sleep(FLUSH_PAUSE_SECONDS)
    if parts.pressure.news:  # a probe that came back meanwhile has something to say
        await _best_effort(keys.keep(parts), seconds=LEAVE_SECONDS)
    # No beat may renew the lease that is now given back.
    loops["heartbeats"].cancel()
    await asyncio.wait([loops["heartbeats"]])
    await _best_effort(_leave(engine), seconds=LEAVE_SECONDS)


async def release_unsent(parts: Parts, outbox: Outbox) -> None:
    """Give back all that is held and was not sent, also what waits to be given back already."""
    unsent = parts.hand.unsent()
    parts.hand.withdraw(unsent)
    await upkeep.give_up(parts, unsent, forget=False)
    await upkeep.give_back_lapsed(parts, outbox)
    if parts.pressure.returning:
        await keys.give_back(parts)


async def _leave(engine: Engine) -> None:
    """End the lease at once, so that what was cut off is rescued now and not in a lease's time."""
    parts = engine.parts
    parts.lease.ended()
    async with connection(parts.pool, seconds=LEAVE_SECONDS) as conn:
        await replicas.end_lease(conn, parts.replica, now_ms=parts.clock.now_ms())
        if len(parts.hand):
            await replicas.rescue(conn, now_ms=parts.clock.now_ms(), batch=upkeep.RESCUE_BATCH)
        await replicas.leave(conn, parts.replica)


async def _best_effort(step: Awaitable[None], *, seconds: float) -> None:
    """A step of the drain that is harmless if lost: the lease ends by itself."""
    try:
        async with asyncio.timeout(max(0.0, seconds)):
            await step
    except Exception as error:
        if not is_database_away(error):
            raise
