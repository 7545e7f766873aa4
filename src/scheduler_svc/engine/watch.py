"""What must not be waited for in vain: reports of targets, and runs that should have started.

Ends the runs whose target has not reported in time, and tells of jobs of which something did not
start. Each look is bounded, goes by an index, and is made by one replica at a time.
"""

import asyncio

import msgspec

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.incident_event import unsent_shown
from scheduler_svc.domain.incident_watch import questions, watching
from scheduler_svc.domain.incidents import End, Memory, Raised, late, rules_for
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.engine import aftermath
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import completion, incident_watch, incidents, settlements
from scheduler_svc.store.incident_watch import Standing
from scheduler_svc.store.incidents import Alert, Noted
from scheduler_svc.store.pool import Connection, is_database_away, run_once_more

PASS_SECONDS = 1.0
BATCH = 200
NEVER_RAN = "From one due instant to the next no run of it started."


class Watched(msgspec.Struct, frozen=True):
    """A job at which to look."""

    job: PlannedJob
    rule: Alerts
    memory: Memory
    standing: Standing


class Looked(msgspec.Struct, frozen=True):
    """What one look at a job found."""

    memory: Memory
    alerts: list[Alert]


async def watches(parts: Parts) -> None:
    """Look about once a second, for ever."""
    while True:
        await asyncio.sleep(PASS_SECONDS * (0.5 + parts.rand()))
        if not parts.lease.held:
            continue
        try:
            while await expire(parts) == BATCH:
                pass
            while await look(parts) == BATCH:
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
    standings = await incident_watch.standings(conn, list(locked))
    known = await aftermath.known_jobs(parts, conn, list(locked))
    alerts: list[Alert] = []
    for job_id, memory in locked.items():
        locked[job_id] = msgspec.structs.replace(memory, watch_ms=None, quiet_ms=None)
        job, standing = known.get(job_id), standings.get(job_id)
        if job is None or standing is None or not standing.active:
            continue  # resuming it, or giving it another definition, begins anew
        rule = rules_for(job.plan.definition.alerts, parts.namespace_alerts(job.plan.namespace))
        if rule is not None:
            looked = await _look_at(conn, Watched(job.plan, rule, memory, standing), now_ms)
            locked[job_id] = looked.memory
            alerts += looked.alerts
    await incidents.write_memories(conn, locked)
    told = await incidents.tell(conn, alerts, now_ms=now_ms, draw=parts.random_bytes)
    return len(locked), Noted(told)


async def _look_at(conn: Connection, watched: Watched, now_ms: int) -> Looked:
    """Ask of one job what its alerts want to know, but for what was told already."""
    job, rule, memory = watched.job, watched.rule, watched.memory
    asked = questions(job, rule, memory, now_ms=now_ms)
    alerts: list[Alert] = []
    begun = set(memory.incidents)
    if asked.late_ms is not None and "late" not in begun:
        at_ms = asked.late_ms
        if await incident_watch.is_unsent(conn, job.id, at_ms, watched.standing):
            alerts.append(_alert(watched, late(rule, None), at_ms))
            begun.add("late")
    if asked.quiet_ms is not None and "never_ran" not in begun:
        ran = memory.last_started_ms is not None and memory.last_started_ms >= asked.quiet_ms
        if not ran and not await incident_watch.started_since(conn, job.id, asked.quiet_ms):
            alerts.append(_alert(watched, Raised("never_ran", NEVER_RAN), asked.quiet_ms))
            begun.add("never_ran")
    memory = msgspec.structs.replace(memory, incidents=frozenset(begun))
    return Looked(watching(job, rule, memory, now_ms=now_ms), alerts)


def _alert(watched: Watched, raised: Raised, at_ms: int) -> Alert:
    url = watched.rule.url or ""
    return Alert(watched.job, url, raised, unsent_shown(watched.job.id, at_ms))
