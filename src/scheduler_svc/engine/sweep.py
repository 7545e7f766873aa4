"""The sweep: ended runs that their job keeps no longer are deleted, row by row and out of the way.

Whole days go by their partition (`history`); here goes what is asked to be kept for less time than
the longest that anybody asks for, or only so many of. Promises that one replica does it, an hour
after the last time at the earliest; that a statement takes a batch by key and skips what somebody
holds; that it costs one look where nobody asks for anything. Runs in the namespace of a running
replay by filter stay until that has ended.
"""

import asyncio
from uuid import UUID

import msgspec

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.retention import SETTLED_MS, Kept, kept
from scheduler_svc.engine.history import Keeping, longest_ms
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import explanations, histories
from scheduler_svc.store.histories import Edge, History
from scheduler_svc.store.pool import connection, is_database_away, run_once_more

TURN = "sweep"
TURN_MS = 3_600_000
LOOK_SECONDS = 120.0
PAGE_JOBS = 100
BATCH = 500
MARKS_BATCH = 5000
PAUSE_SECONDS = 0.1
CALL_SECONDS = 15.0


class Rules(msgspec.Struct, frozen=True):
    """What one sweep goes by."""

    usual: Kept
    longest_ms: int
    bound_ms: int
    now_ms: int


async def sweeps(parts: Parts, keeping: Keeping) -> None:
    """Sweep now and then, in turn with the other replicas; for ever."""
    while True:
        await asyncio.sleep(LOOK_SECONDS * (0.5 + parts.rand()))
        try:
            now_ms = parts.clock.now_ms()
            async with connection(parts.pool) as conn:
                mine = await histories.take_turn(
                    conn, TURN, now_ms=now_ms, until_ms=now_ms + TURN_MS
                )
            if mine:
                await sweep(parts, keeping)
        except Exception as error:
            if not is_database_away(error):
                raise


async def sweep(parts: Parts, keeping: Keeping) -> int:
    """Go once over all jobs that have history; return how many runs were deleted."""
    rules = await _rules(parts, keeping)
    if rules is None:
        return 0
    after, jobs, runs = UUID(int=0), 0, 0
    while True:
        async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
            page = await histories.histories(conn, after=after, at_most=PAGE_JOBS)
            needed = set(await histories.replaying(conn))
        for history in page:
            if history.namespace not in needed and (gone := await _prune(parts, history, rules)):
                jobs, runs = jobs + 1, runs + gone
        if len(page) < PAGE_JOBS:
            break
        after = page[-1].job_id
        await asyncio.sleep(PAUSE_SECONDS)
    await _forget_marks(parts)
    if runs:
        parts.on_event(EventName.HISTORY_PRUNED, jobs=jobs, runs=runs)
    return runs


async def _forget_marks(parts: Parts) -> None:
    """Forget where jobs were pruned before the first day of all history."""
    async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
        begins_ms = await explanations.first_day(conn)
        await histories.forget_marks(conn, before_ms=begins_ms, batch=MARKS_BATCH)


async def _rules(parts: Parts, keeping: Keeping) -> Rules | None:
    """Return what to go by; None where days alone do all there is to do."""
    async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
        longest = await longest_ms(conn, parts, keeping)
        asked = parts.namespaces.any_retention() or await histories.is_any_asked(conn)
    usual = keeping.usual
    if usual.count is None and usual.age_ms >= longest and not asked:
        return None
    return Rules(usual, longest, keeping.longest_ms, parts.clock.now_ms())


async def _prune(parts: Parts, history: History, rules: Rules) -> int:
    """Delete what one job keeps no longer, batch by batch; return how many runs that were."""
    edge = await _edge(parts, history, rules)
    total = 0
    while edge is not None:
        done = await run_once_more(
            parts.pool,
            lambda conn, edge=edge: histories.prune(  # type: ignore[misc]
                conn,
                history.job_id,
                edge,
                ended_before_ms=rules.now_ms - SETTLED_MS,
                batch=BATCH,
            ),
            seconds=CALL_SECONDS,
        )
        total += done
        if done < BATCH:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def _edge(parts: Parts, history: History, rules: Rules) -> Edge | None:
    """Return the newest run that goes by age or by count; None where none does."""
    known = parts.namespaces.known(history.namespace)
    if known is not None and known.settings is None:
        return None  # settings that this build can not read may ask for anything
    shared = None if known is None or known.settings is None else known.settings.retention
    holds = kept(history.asked, shared, usual=rules.usual, longest_ms=rules.bound_ms)
    found = []
    if holds.age_ms < rules.longest_ms:
        found.append(Edge(rules.now_ms - holds.age_ms - 1))
    if holds.count is not None:
        async with connection(parts.pool, seconds=CALL_SECONDS) as conn:
            last = await histories.edge_by_count(conn, history.job_id, holds.count)
        found += [] if last is None else [last]
    return max(found, key=lambda edge: (edge.at_ms, edge.id), default=None)
