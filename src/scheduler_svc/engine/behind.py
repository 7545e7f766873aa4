"""Who is due behind a key that has its share: very many timers of one host, and others after them.

What is left for its key is read past once, unlocked: locking it costs ten times as much, and shows
nothing that the timer's revision does not tell. Whatever else is seen is claimed as always, under
its lock. Promises the verdicts of a claim (`Placing.leaves`), not that what it saw is still there.
"""

import asyncio
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import Timer
from scheduler_svc.domain.pressure import Key
from scheduler_svc.engine import locked_timers, tick
from scheduler_svc.engine.deciding import looked_at_again_ms
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.placing import Placing
from scheduler_svc.engine.tick import Scan
from scheduler_svc.store import timers
from scheduler_svc.store.pool import Connection, connection
from scheduler_svc.store.timers import Mark

LOOK_MAX = 2500
"""Timers that one statement reads past."""
ASIDE = 200
"""After so many jobs that are learnt all others of the loop have a turn."""


async def look_past(parts: Parts, before: Scan, *, room: int) -> Scan:
    """Take the next timers that are not left for their key, past those that are."""
    horizon_ms = parts.clock.now_ms() + parts.limits.lookahead_ms
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        seen = await timers.read_due(conn, before.mark, horizon_ms=horizon_ms, at_most=LOOK_MAX)
        known = await _known_unlocked(parts, conn, seen)
    if not seen:
        return Scan([], frozenset(), [], None, before.mark, full=False)
    placing = Placing(parts, now_ms=parts.clock.now_ms())
    others, again_ms = [], None
    same: tuple[Key, int] | None = None
    for timer in seen:
        job = known.get(timer.job_id)
        if job is None or timer.scheduled_ms is None:
            others.append(timer)
        elif same == (job.key, timer.fire_ms) or placing.leaves(job, timer):
            same = job.key, timer.fire_ms
            again_ms = again_ms or looked_at_again_ms(timer, placing.now_ms)
        else:
            others.append(timer)
    last, left = seen[-1], len(seen) - len(others)
    if len(others) > room:
        last, others = others[room - 1], others[:room]
    found = await _claimed(parts, others)
    return msgspec.structs.replace(
        found,
        deferred_ms=earlier(again_ms, found.deferred_ms),
        mark=Mark(last.fire_ms, last.job_id),
        full=(len(seen) == LOOK_MAX or last is not seen[-1]) and not placing.choked,
        crowds=found.crowds | placing.crowds,
        left_ms=earlier(placing.left_ms, found.left_ms),
        mostly_left=left * 2 > len(seen),
    )


async def _known_unlocked(
    parts: Parts, conn: Connection, seen: list[Timer]
) -> dict[UUID, KnownJob]:
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
        if count % ASIDE == 0:
            await asyncio.sleep(0)
        elif count % locked_timers.LEARNT_IN_A_ROW == 0:
            await locked_timers.give_way(parts)
    return known


async def _claimed(parts: Parts, others: list[Timer]) -> Scan:
    """Claim what was found, batch by batch; the first of them that wants it says when to look."""
    found = Scan([], frozenset(), [], None, Mark(), full=False)
    for at in range(0, len(others), parts.limits.batch):
        batch = [timer.job_id for timer in others[at : at + parts.limits.batch]]
        part = await tick.claim_listed(parts, batch)
        found = msgspec.structs.replace(
            found,
            deferred_ms=earlier(found.deferred_ms, part.deferred_ms),
            crowds=found.crowds | part.crowds,
            left_ms=earlier(found.left_ms, part.left_ms),
        )
    return found


def earlier(one: int | None, other: int | None) -> int | None:
    """Return the earlier of two instants, as far as there are any."""
    return min((at for at in (one, other) if at is not None), default=None)
