"""What must not be waited for in vain: reports of targets, and runs that should have started.

Ends the runs whose target has not reported in time, and tells of jobs of which something did not
start. Each look is bounded, goes by an index, and is made by one replica at a time.
"""

from collections.abc import Mapping
from uuid import UUID

import msgspec

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.incident_event import unsent_shown
from scheduler_svc.domain.incident_watch import Questions, questions, watching
from scheduler_svc.domain.incidents import End, Incident, Memory, Raised, late
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.engine import aftermath
from scheduler_svc.engine.glance import bell_for, is_there
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import completion, incident_watch, incidents, settlements
from scheduler_svc.store.incident_watch import Standing
from scheduler_svc.store.incidents import Alert, Noted
from scheduler_svc.store.pool import Connection, is_database_away, run_once_more

BATCH = 200
HELD_MS = 60_000
LOOKED_FOR: tuple[Incident, ...] = ("late", "never_ran")
NEVER_RAN = "From one due instant to the next no run of it started."


class Watched(msgspec.Struct, frozen=True):
    """A job at which to look, and what to ask of it."""

    job: PlannedJob
    rule: Alerts
    memory: Memory
    standing: Standing
    asked: Questions


async def watches(parts: Parts) -> None:
    """Look whenever there is something, for ever."""
    bell = bell_for(parts, "overdue", "watched")
    while True:
        await bell.wait(None)
        bell.clear()
        if not parts.lease.held:
            continue
        try:
            while await is_there(parts, "overdue") and await expire(parts) == BATCH:
                pass
            while await is_there(parts, "watched") and await look(parts) == BATCH:
                pass
        except Exception as error:
            if not is_database_away(error):
                raise


async def expire(parts: Parts) -> int:
    """End a batch of runs whose report has not come in time; return how many were looked at."""
    count, ended, noted = await run_once_more(
        parts.pool,
        lambda conn: _expire(parts, conn),
        seconds=parts.limits.database_seconds,
    )
    for end in ended:
        parts.on_event(
            EventName.RUN_FAILED,
            run_id=end.run_id,
            job_id=end.job_id,
            attempt=end.attempt_count,
            outcome=None,
            status_code=None,
            reason=end.reason,
            duration_ms=end.duration_ms,
            lateness_ms=None,
        )
    aftermath.tell(parts, noted)
    if ended:
        parts.to_claim.ring()
    return count


async def _expire(parts: Parts, conn: Connection) -> tuple[int, list[End], Noted]:
    now_ms = parts.clock.now_ms()
    overdue = await completion.overdue(conn, now_ms=now_ms, batch=BATCH)
    if not overdue:
        return 0, [], Noted()
    job_ids = sorted({run.job_id for run in overdue})
    await settlements.lock_queues(conn, job_ids)
    ended = await completion.expire(conn, overdue, now_ms=now_ms)
    await settlements.release_queued(conn, job_ids, now_ms=now_ms)
    return len(overdue), ended, await aftermath.note_ends(parts, conn, ended, now_ms=now_ms)


async def look(parts: Parts) -> int:
    """Look at a batch of jobs whose instant has come; return how many there were."""
    count, noted = await run_once_more(
        parts.pool, lambda conn: _look(parts, conn), seconds=parts.limits.database_seconds
    )
    aftermath.tell(parts, noted)
    return count


async def _look(parts: Parts, conn: Connection) -> tuple[int, Noted]:
    now_ms = parts.clock.now_ms()
    locked = await incident_watch.lock_watched(conn, now_ms=now_ms, batch=BATCH)
    if not locked:
        return 0, Noted()
    watched = await _watched(parts, conn, locked, now_ms)
    held = [job_id for job_id, one in watched.items() if one.job.namespace in parts.holds]
    for job_id in held:
        del watched[job_id]
    late_ms = {
        job_id: one.asked.late_ms
        for job_id, one in watched.items()
        if one.asked.late_ms is not None and "late" not in one.memory.incidents
    }
    waiting = await incident_watch.waiting(conn, late_ms)
    alerts: list[Alert] = []
    for job_id, memory in locked.items():
        # Resuming a job, or giving it another definition, begins anew.
        locked[job_id] = msgspec.structs.replace(memory, watch_ms=None, quiet_ms=None)
        if (one := watched.get(job_id)) is not None:
            found = [*_late(one, waiting.get(job_id)), *await _quiet(conn, one)]
            locked[job_id] = _remembered(one, found, now_ms)
            alerts += found
        elif job_id in held:  # nothing of it is to start, and that was said already
            locked[job_id] = msgspec.structs.replace(memory, watch_ms=now_ms + HELD_MS)
    await incidents.write_memories(conn, locked)
    told = await incidents.tell(conn, alerts, now_ms=now_ms, draw=parts.random_bytes)
    return len(locked), Noted(told)


async def _watched(
    parts: Parts, conn: Connection, locked: Mapping[UUID, Memory], now_ms: int
) -> dict[UUID, Watched]:
    """Read the jobs of which somebody wants to know, with what to ask of each."""
    standings = await incident_watch.standings(conn, list(locked))
    known = await aftermath.known_jobs(parts, conn, list(locked))
    found = {}
    for job_id, job in known.items():
        standing, rule = standings.get(job_id), aftermath.rule_of(parts, job)
        if standing is not None and standing.active and rule is not None:
            asked = questions(job.plan, rule, locked[job_id], now_ms=now_ms)
            found[job_id] = Watched(job.plan, rule, locked[job_id], standing, asked)
    return found


def _late(one: Watched, waits: bool | None) -> list[Alert]:  # noqa: FBT001 - what the ledger says
    """Tell of an occurrence that waits still: its run, or its timer that nobody claimed."""
    at_ms, pending_ms = one.asked.late_ms, one.standing.pending_ms
    if at_ms is None or "late" in one.memory.incidents:
        return []
    if waits is None:
        waits = pending_ms is not None and pending_ms <= at_ms
    return [_alert(one, late(one.rule, None), at_ms)] if waits else []


async def _quiet(conn: Connection, one: Watched) -> list[Alert]:
    """Tell of a due instant since which nothing started, though the next one has come."""
    at_ms, last_ms = one.asked.quiet_ms, one.memory.last_started_ms
    if at_ms is None or "never_ran" in one.memory.incidents:
        return []
    if last_ms is not None and last_ms >= at_ms:
        return []
    if await incident_watch.started_since(conn, one.job.id, at_ms):
        return []
    return [_alert(one, Raised("never_ran", NEVER_RAN), at_ms)]


def _remembered(one: Watched, found: list[Alert], now_ms: int) -> Memory:
    named = {alert.raised.condition for alert in found}
    begun = one.memory.incidents | {name for name in LOOKED_FOR if name in named}
    memory = msgspec.structs.replace(one.memory, incidents=begun)
    return watching(one.job, one.rule, memory, now_ms=now_ms)


def _alert(one: Watched, raised: Raised, at_ms: int) -> Alert:
    return Alert(one.job, one.rule.url or "", raised, unsent_shown(one.job.id, at_ms))
