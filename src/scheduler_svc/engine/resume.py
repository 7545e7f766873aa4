"""Pauses that end by themselves: the timer of such a job stands at the instant of its resumption.

Whoever holds that timer resumes the job, once: what passed becomes a row of the ledger, and the
timer goes to the first occurrence from that instant on. One that is due by now is decided by the
next pass like any other, so the misfire policy says what becomes of an outage.
"""

from uuid import UUID

from msgspec import Struct, field, structs

from scheduler_svc.domain.arming import recorded_from, resume
from scheduler_svc.domain.audit_change import resumed_by_engine
from scheduler_svc.domain.decide import Decision, Timer, plan_job
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.incidents import rules_for
from scheduler_svc.domain.jobs import Job
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import audit, incidents, jobs, timers
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.run_lists import last_occurrence


class Ending(Struct, frozen=True):
    """Locked timers that stand at the end of a pause, and what became of them."""

    jobs: frozenset[UUID] = frozenset()
    decisions: list[Decision] = field(default_factory=list)
    deferred: list[int] = field(default_factory=list)


async def end_pauses(parts: Parts, conn: Connection, locked: list[Timer]) -> Ending:
    """Resume the jobs whose pause is over; the others are looked at again when it is."""
    idle = [timer for timer in locked if timer.scheduled_ms is None]
    paused = await timers.ending_pauses(conn, [timer.job_id for timer in idle]) if idle else set()
    now_ms = parts.clock.now_ms()
    decisions, deferred = [], []
    for timer in idle:
        if timer.job_id not in paused:
            continue
        if timer.fire_ms > now_ms:
            deferred.append(timer.fire_ms)
        elif (job := await _job(conn, timer.job_id)) is not None:
            decisions.append(await _resume(parts, conn, job, timer))
    return Ending(frozenset(paused), decisions, deferred)


async def _job(conn: Connection, job_id: UUID) -> Job | None:
    stored = await timers.load_definitions(conn, [job_id])
    return await jobs.get_job(conn, stored[0].namespace, job_id) if stored else None


async def _resume(parts: Parts, conn: Connection, job: Job, timer: Timer) -> Decision:
    """Write the job as active, or completed; the caller writes where its timer goes."""
    now_ms = parts.clock.now_ms()
    plan = plan_job(job.id, job.namespace, job.revision + 1, job.definition, job.created_at)
    # Up to the instant of the resumption, without it: an occurrence at it is sent.
    until_ms = timer.fire_ms - 1
    after_ms = until_ms if job.pause is None else recorded_from(job.pause, plan)
    ended = resume(
        plan,
        "skip",
        after_ms=await last_occurrence(conn, job.id, after_ms=after_ms, until_ms=until_ms),
        now_ms=until_ms,
        runs_made=timer.runs_made,
        busy=False,
    )
    following = ended.following
    after = structs.replace(
        job,
        state="active",
        pause=None,
        revision=job.revision + 1,
        updated_at=instant_at(max(now_ms, epoch_ms(job.updated_at))),
    )
    await jobs.update_job(conn, after, None)
    await audit.insert(conn, resumed_by_engine(job, after))
    rule = rules_for(job.definition.alerts, parts.namespace_alerts(job.namespace))
    await incidents.watch(conn, plan, rule, now_ms=now_ms)
    return Decision(
        plan,
        None if following is None else following.scheduled_ms,
        None if following is None else following.fire_ms,
        ended.runs_made,
        ended.runs,
        completed=following is None,
    )
