"""Backfills, step by step: each pass makes the next few runs of those whose turn it is.

Promises the rate, and never more runs of backfills that may go than a share of the slots, so that
on-time work finds a free one; one backfill has no more unfinished than that, whatever they wait
for. Any replica may make any step: the row is locked, a step is one transaction, and what a dead
replica did not commit the next pass makes.
"""

from datetime import timedelta
from uuid import UUID

import msgspec

from scheduler_svc.domain.backfills import (
    AHEAD_MS,
    Backfill,
    BackfillStatus,
    Step,
    step,
    timetable_of,
)
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.engine.glance import bell_for, is_there
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import backfills, notices, timers
from scheduler_svc.store.backfills import SentJob
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Connection, connection, is_database_away, run_once_more
from scheduler_svc.store.timers import DEFINITION

PASS_SECONDS = 1.0
BUSY_SECONDS = 0.2
"""After a pass that made runs: what a backfill may have unfinished at a time is soon sent."""
PRUNE_SECONDS = 300.0
STEPS_MAX = 50
"""Backfills that one pass looks at; those it left come first in the next."""
SLOTS_SHARE = 4
"""Runs of backfills have at most one slot in so many."""


class Stepped(msgspec.Struct, frozen=True):
    """What one step did to a backfill; `status` is its state after it."""

    backfill: Backfill
    status: BackfillStatus
    made: int = 0
    reason: str | None = None
    error: str | None = None


async def backfilling(parts: Parts, *, retention_days: int) -> None:
    """Make steps for ever, and forget the backfills of days no longer kept."""
    bell = bell_for(parts, "backfills")
    prune_at, busy = float("-inf"), False
    while True:
        until_prune = max(PASS_SECONDS, prune_at - parts.clock.monotonic())
        await bell.rest(BUSY_SECONDS if busy else until_prune, Turn.UPKEEP)
        bell.clear()
        busy = False
        if not parts.lease.held:
            continue
        try:
            if await is_there(parts, "backfills") and await make_steps(parts):
                busy = True
            if parts.clock.monotonic() > prune_at:
                prune_at = parts.clock.monotonic() + PRUNE_SECONDS
                await prune(parts, retention_days=retention_days)
        except Exception as error:
            if not is_database_away(error):
                raise


async def make_steps(parts: Parts) -> int:
    """Make one step of each backfill whose turn it is; return how many runs were made."""
    seen: set[UUID] = set()
    made = 0
    while len(seen) < STEPS_MAX:
        stepped = await run_once_more(
            parts.pool,
            lambda conn: step_next(parts, conn, seen),
            seconds=parts.limits.database_seconds,
        )
        if stepped is None:
            break
        seen.add(stepped.backfill.id)
        made += stepped.made
        _tell(parts, stepped)
    if made:
        parts.to_claim.ring()
    return made


async def prune(parts: Parts, *, retention_days: int) -> None:
    """Forget what ended before the days that are kept."""
    before = instant_at(parts.clock.now_ms()) - timedelta(days=retention_days)
    async with connection(parts.pool, seconds=parts.limits.database_seconds) as conn:
        await backfills.prune_backfills(conn, before=before)


async def step_next(parts: Parts, conn: Connection, seen: set[UUID]) -> Stepped | None:
    """Lock the backfill whose turn came first and make its step; None where there is none."""
    now_ms = parts.clock.now_ms()
    found = await backfills.lock_next(conn, horizon_ms=now_ms + AHEAD_MS, seen=seen)
    if found is None:
        return None
    stored = await timers.load_definitions(conn, [found.job_id])
    if not stored:
        return await _cancel(conn, found, "job_deleted", now_ms)
    unfinished = await backfills.count_open(conn, found.id)
    room = max(1, parts.hand.slots // SLOTS_SHARE) - unfinished.everyone
    found = msgspec.structs.replace(found, done=found.created - unfinished.own)
    try:
        definition = DEFINITION.decode(stored[0].definition)
        planned = _planned(found, room, now_ms)
    except Exception as error:  # noqa: BLE001 - the poison guard
        return await _cancel(conn, found, "undecidable", now_ms, error=repr(error))
    job = SentJob(definition.name, definition.priority)
    await backfills.write_step(conn, found, job, planned, now_ms=now_ms)
    due = [run for run in planned.runs if run.status == "due"]
    if due:
        await notices.wake(conn, due[0].due_ms)
    if planned.exhausted and unfinished.own + len(due) == 0:
        await backfills.end_backfill(conn, found.id, status="completed", now_ms=now_ms)
        return Stepped(found, "completed", len(planned.runs))
    return Stepped(found, "running", len(planned.runs))


def _planned(found: Backfill, room: int, now_ms: int) -> Step:
    return step(
        found, timetable_of(found), to_ms=epoch_ms(found.range_to), room=room, now_ms=now_ms
    )


async def _cancel(
    conn: Connection, found: Backfill, reason: str, now_ms: int, *, error: str | None = None
) -> Stepped:
    await backfills.end_backfill(conn, found.id, status="cancelled", reason=reason, now_ms=now_ms)
    return Stepped(found, "cancelled", reason=reason, error=error)


def _tell(parts: Parts, stepped: Stepped) -> None:
    """Say that a backfill has ended."""
    found = stepped.backfill
    created = found.created + stepped.made
    if stepped.status == "completed":
        parts.on_event(
            EventName.BACKFILL_COMPLETED,
            backfill_id=found.id,
            job_id=found.job_id,
            created=created,
        )
    elif stepped.status == "cancelled":
        parts.on_event(
            EventName.BACKFILL_CANCELLED,
            backfill_id=found.id,
            job_id=found.job_id,
            reason=stepped.reason,
            error=stepped.error,
        )
