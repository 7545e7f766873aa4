"""What the end of a run leads to beside its row: alerts, and jobs that are paused for it.

Costs nothing for jobs that neither tell anybody nor pause themselves: they are told apart by their
definitions, which the hand has.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.incident_event import alert_job as job_of_alert
from scheduler_svc.domain.incidents import End, rules_for
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.runs import RunStatus
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import completion, incidents, settlements, timers
from scheduler_svc.store.claims import ClaimedRun
from scheduler_svc.store.incidents import Case, Noted
from scheduler_svc.store.pool import Connection, run_once_more
from scheduler_svc.store.settlements import Settlement


def alert_job(parts: Parts, claim: ClaimedRun) -> KnownJob | None:
    """Return what sends a claimed alert; None where the run is none."""
    if claim.overrides is None or claim.overrides.alert is None:
        return None
    return parts.jobs.foreign(job_of_alert(claim.job_id, claim.overrides.alert))


def rule_of(parts: Parts, job: KnownJob) -> Alerts | None:
    """Return whom to tell about a job."""
    plan = job.plan
    return rules_for(plan.definition.alerts, parts.namespace_alerts(plan.namespace))


def is_heeded(parts: Parts, held: HeldRun) -> bool:
    """Tell whether the end of a run can lead to anything beside its row."""
    if held.claim.trigger == "alert":
        return False
    return held.job.plan.definition.auto_pause_after > 0 or rule_of(parts, held.job) is not None


def may_pause(held: HeldRun, settlement: Settlement) -> bool:
    """Tell whether the end of a run may pause its job, so that its timer must be locked first."""
    if held.claim.trigger == "alert" or held.job.plan.definition.auto_pause_after == 0:
        return False
    return settlement.status == "failed" or settlement.timeout_ms is not None


def case_of(
    parts: Parts,
    held: HeldRun,
    settlement: Settlement,
    settled: tuple[RunStatus, str | None],
) -> Case:
    """Return what an attempt made of its run, as the database has it now."""
    claim = held.claim
    started_at = claim.started_at
    if started_at is None and settlement.started_ms is not None:
        started_at = instant_at(settlement.started_ms)
    end = End(
        run_id=claim.id,
        job_id=claim.job_id,
        namespace=held.job.plan.namespace,
        trigger=claim.trigger,
        scheduled_ms=claim.scheduled_ms,
        status=settled[0],
        reason=settled[1],
        attempt_count=claim.attempt,
        started_at=started_at,
        lateness_ms=_lateness(claim, settlement),
        duration_ms=settlement.duration_ms,
        by_filter=claim.background and claim.trigger == "replay",
        late_is_news=settlement.lateness_ms is not None,
    )
    return Case(held.job.plan, rule_of(parts, held.job), end)


async def note_ends(parts: Parts, conn: Connection, ends: Sequence[End], *, now_ms: int) -> Noted:
    """Note ends of runs that nobody holds; reads their jobs as they are now."""
    found = await known_jobs(parts, conn, sorted({end.job_id for end in ends}))
    cases = [
        Case(job.plan, rule_of(parts, job), end)
        for end in ends
        if (job := found.get(end.job_id)) is not None
    ]
    cases = [one for one in cases if one.rule or one.job.definition.auto_pause_after]
    return await note(parts, conn, cases, now_ms=now_ms)


async def note_unheld(parts: Parts, run_ids: Sequence[UUID]) -> None:
    """Let jobs know of runs that ended without a settle, once that is committed.

    In a transaction of its own, for it locks the jobs' timers, and these come before runs.
    """
    if not run_ids:
        return

    async def write(conn: Connection) -> Noted:
        ends = await completion.ends_of(conn, run_ids)
        job_ids = sorted({end.job_id for end in ends})
        now_ms = parts.clock.now_ms()
        await settlements.release_queued(conn, job_ids, now_ms=now_ms)
        return await note_ends(parts, conn, ends, now_ms=now_ms)

    tell(parts, await run_once_more(parts.pool, write, seconds=parts.limits.database_seconds))


async def known_jobs(
    parts: Parts, conn: Connection, job_ids: Sequence[UUID]
) -> dict[UUID, KnownJob]:
    """Read jobs as they are now; those that can not be understood are left out."""
    found: dict[UUID, KnownJob] = {}
    for stored in await timers.load_definitions(conn, job_ids) if job_ids else ():
        known = parts.jobs.get(stored.id, stored.revision)
        try:
            found[stored.id] = parts.jobs.learn(stored) if known is None else known
        except Exception:  # noqa: BLE001, S112 - the poison guard: the tick parks such a job
            continue
    return found


async def note(
    parts: Parts,
    conn: Connection,
    cases: Sequence[Case],
    *,
    now_ms: int,
    paused: Mapping[UUID, str] | None = None,
) -> Noted:
    """Note ends whose jobs are known."""
    if not cases:
        return Noted([], dict(paused or {}))
    return await incidents.note(conn, cases, now_ms=now_ms, draw=parts.random_bytes, paused=paused)


def tell(parts: Parts, noted: Noted) -> None:
    """Say what was paused and what is on its way, once that is committed."""
    for job_id, reason in noted.paused.items():
        parts.on_event(EventName.JOB_PAUSED, job_id=job_id, reason=reason)
    for told in noted.told:
        parts.on_event(
            EventName.ALERT_RAISED,
            run_id=told.run_id,
            job_id=told.job_id,
            condition=told.condition,
        )
    if noted.told:
        parts.to_claim.ring()


def _lateness(claim: ClaimedRun, settlement: Settlement) -> int | None:
    if settlement.lateness_ms is not None or claim.started_at is None:
        return settlement.lateness_ms
    return epoch_ms(claim.started_at) - claim.scheduled_ms
