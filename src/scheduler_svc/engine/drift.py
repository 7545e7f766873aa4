"""The drift guard at work: judge at start what other versions expected, and keep it fresh.

Promises that no job silently moves: each one that would is counted before any is touched, logged
when it is, and its timer put to the instant that is named now. Works in pages; a replica that dies
half way leaves the rest to the next.
"""

import asyncio
from uuid import UUID

from scheduler_svc.domain.arming import arm
from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.drift import DriftRefused, Moved, expect, moved, versions
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.words import at_text
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import expectations, notices
from scheduler_svc.store.expectations import Expected, LockedTimer
from scheduler_svc.store.pool import Connection, connection, is_database_away, run_once_more
from scheduler_svc.store.timers import NIL, load_definitions

PAGE = 200
REFRESH_SECONDS = 60.0
REFRESH_BATCHES = 20


async def guard(parts: Parts, *, most: int, accept: bool) -> int:
    """Judge what other versions expected, before this replica claims anything; return what moved.

    Raises DriftRefused where more than `most` jobs would move and nobody said to accept that.
    """
    async with connection(parts.pool) as conn:
        others = await expectations.other_versions(conn, versions())
    found = [one for version in others for one in await _would_move(parts, version)]
    if len(found) > most and not accept:
        raise DriftRefused(found, others, most)
    for version in others:
        await _adopt(parts, version, {one.job_id: one for one in found})
    if others:
        parts.on_event(EventName.DRIFT_SETTLED, moved=len(found), before=others, after=versions())
    return len(found)


async def _would_move(parts: Parts, version: str) -> list[Moved]:
    """List the jobs that a version expected at other instants than we do; touches nothing."""
    found: list[Moved] = []
    after: UUID | None = NIL
    while after is not None:
        async with connection(parts.pool) as conn:
            page = await expectations.under(conn, version, after, at_most=PAGE)
        now_ms = parts.clock.now_ms()
        for expected in page:
            found += _judge(expected, now_ms)
            await asyncio.sleep(0)
        after = page[-1].job.id if len(page) == PAGE else None
    return found


def _judge(expected: Expected, now_ms: int) -> list[Moved]:
    plan = expectations.planned(expected.job)
    verdict = None if plan is None else moved(plan, expected.instants, now_ms)
    return [] if verdict is None else [verdict]


async def _adopt(parts: Parts, version: str, found: dict[UUID, Moved]) -> None:
    """Make what a version expected ours, page by page, and move the timers of what moved."""
    after: UUID | None = NIL
    while after is not None:
        async with connection(parts.pool) as conn:
            page = await expectations.under(conn, version, after, at_most=PAGE)
        ids = [expected.job.id for expected in page]

        async def write(conn: Connection, ids: list[UUID] = ids) -> None:
            await _rewrite(parts, conn, ids, found)

        await run_once_more(parts.pool, write, seconds=parts.limits.database_seconds)
        for job_id in ids:
            if (one := found.get(job_id)) is not None:
                _tell(parts, one)
        after = ids[-1] if len(ids) == PAGE else None


async def _rewrite(
    parts: Parts, conn: Connection, ids: list[UUID], found: dict[UUID, Moved]
) -> None:
    """Under the locks of their timers: jobs as they are now, their instants by our versions."""
    locked = {timer.job_id: timer for timer in await expectations.lock_timers(conn, ids)}
    plans = await expectations.plans(conn, ids)
    now_ms = parts.clock.now_ms()
    moves = [
        move
        for plan in plans
        if plan.id in found and (move := _move(plan, locked[plan.id], now_ms)) is not None
    ]
    if moves:
        await expectations.set_timers(conn, moves)
        await notices.wake(conn, min(fire_ms for _, _, fire_ms in moves))
    await expectations.write(conn, [expect(plan, now_ms) for plan in plans], versions())


def _move(plan: PlannedJob, timer: LockedTimer, now_ms: int) -> tuple[UUID, int | None, int] | None:
    """Put a timer to the next occurrence as it is named now; one that has come stays."""
    if timer.scheduled_for is None or epoch_ms(timer.scheduled_for) <= now_ms:
        return None
    following = arm(plan, after_ms=now_ms, runs_made=timer.runs_made)
    if following is None:
        return plan.id, None, now_ms  # nothing is left: the tick completes it
    return plan.id, following.scheduled_ms, following.fire_ms


def _tell(parts: Parts, one: Moved) -> None:
    parts.on_event(
        EventName.JOB_MOVED,
        job_id=one.job_id,
        before=at_text(one.before_ms),
        after=None if one.after_ms is None else at_text(one.after_ms),
    )


async def fill(parts: Parts) -> None:
    """Keep the instants of jobs of which none are kept yet."""
    after: UUID | None = NIL
    while after is not None:
        async with connection(parts.pool) as conn:
            ids = await expectations.missing(conn, after, at_most=PAGE)
            await _keep(parts, conn, ids)
        after = ids[-1] if len(ids) == PAGE else None


async def refreshes(parts: Parts) -> None:
    """Keep what is not kept yet, then renew what has passed; for ever, a bounded number a round."""
    filled = False
    while True:
        await asyncio.sleep(REFRESH_SECONDS * (0.5 + parts.rand()))
        try:
            if not filled:
                await fill(parts)
                filled = True
            await refresh(parts)
        except Exception as error:
            if not is_database_away(error):
                raise


async def refresh(parts: Parts) -> int:
    """One round of the above; return how many were renewed."""
    count = 0
    for _ in range(REFRESH_BATCHES):
        async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
            now_ms = parts.clock.now_ms()
            ids = await expectations.stale(conn, now_ms=now_ms, at_most=PAGE)
            await _keep(parts, conn, ids)
        count += len(ids)
        if len(ids) < PAGE:
            break
    return count


async def _keep(parts: Parts, conn: Connection, ids: list[UUID]) -> None:
    """Compute and keep the instants of some jobs, giving way to the tick between them."""
    expected = []
    for stored in await load_definitions(conn, ids) if ids else ():
        if (plan := expectations.planned(stored)) is not None:
            expected.append(expect(plan, parts.clock.now_ms()))
        await asyncio.sleep(0)
    if expected:
        await expectations.write(conn, expected, versions())
