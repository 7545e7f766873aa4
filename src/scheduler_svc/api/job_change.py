"""What every change of a job has in common: one transaction under the lock of its timer.

Replicas hold occurrences claimed ahead and not sent: they are told to give them up, and `handover`
waits, after the commit, until they did.
"""

from datetime import datetime

from msgspec import Struct, structs

from scheduler_svc.api.context import Call
from scheduler_svc.api.job_find import find_id, no_job
from scheduler_svc.api.job_view import planned
from scheduler_svc.domain.decide import Decision, NewRun, PlannedJob
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.incidents import Memory, rules_for
from scheduler_svc.domain.jobs import Alerts, Definition, Job
from scheduler_svc.domain.occurrences import fire_at
from scheduler_svc.store import incidents, jobs, notices, pressure, timers
from scheduler_svc.store.jobs import TimerState, Unsent
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import NIL


class LockedJob(Struct, frozen=True, kw_only=True):
    """A job whose timer this transaction holds; `unsent` is what replicas have claimed ahead."""

    job: Job
    plan: PlannedJob
    timer: TimerState
    unsent: Unsent | None
    now_ms: int
    shared: Alerts | None = None
    """Whom its namespace tells about jobs that name nobody themselves."""

    @property
    def now(self) -> datetime:
        """Return the instant of the change."""
        return instant_at(self.now_ms)

    @property
    def runs_made(self) -> int:
        """Count the runs that were sent: what is taken back is not among them."""
        return self.timer.runs_made - (0 if self.unsent is None else len(self.unsent.runs))


async def lock_job(conn: Connection, call: Call, key: str) -> LockedJob:
    """Lock the job of that id or name against the claim and other changes; raise NotFound."""
    job_id = await find_id(conn, call.namespace, key)
    timer = None if job_id is None else await jobs.lock_timer(conn, job_id)
    job = None if job_id is None else await jobs.get_job(conn, call.namespace, job_id)
    if job is None or timer is None:
        raise no_job(key)
    now_ms = call.deps.now_ms()
    unsent = await jobs.unsent_occurrences(conn, job.id, now_ms=now_ms)
    return LockedJob(
        job=job,
        plan=planned(job),
        timer=timer,
        unsent=unsent,
        now_ms=now_ms,
        shared=call.deps.namespace_alerts(job.namespace),
    )


async def write_change(
    conn: Connection, locked: LockedJob, after: Job, move: Decision | None = None
) -> Job:
    """Write a changed job and where its timer goes; without a move the timer stays (G7).

    What is held of it then goes out as it is now defined; with a move it is decided anew.
    """
    await jobs.update_job(conn, after, None)
    if locked.job.definition.target != after.definition.target:
        await pressure.unkey(conn, after.id)
    if move is None:
        await notices.edited(conn, after.id, timer_moved=False)
    else:
        await move_timer(conn, locked, move)
    await incidents.watch_all(conn, {after.id: look_at(locked, after)})
    written = await jobs.get_job(conn, after.namespace, after.id)
    if written is None:
        raise RuntimeError("a job vanished under the lock of its timer")
    return written


def look_at(locked: LockedJob, after: Job) -> Memory | None:
    """Return from when on a changed job is looked at for its alerts; None where it is no more."""
    rule = rules_for(after.definition.alerts, locked.shared) if after.state == "active" else None
    return incidents.first_look(planned(after), rule, now_ms=locked.now_ms)


async def move_timer(conn: Connection, locked: LockedJob, move: Decision) -> None:
    """Put the timer elsewhere, and take what was claimed ahead out of every hand.

    A holder that forgets a run uncounts it itself, so until then it stays counted.
    """
    held = 0 if locked.unsent is None else locked.unsent.held
    move = structs.replace(move, runs_made=move.runs_made + held)
    await jobs.forget_unsent(conn, locked.job.id, now_ms=locked.now_ms)
    await timers.write_decisions(conn, [move], replica=NIL, now_ms=locked.now_ms)
    await tell(conn, move, now_ms=locked.now_ms)
    await notices.edited(conn, locked.job.id, timer_moved=True)


async def tell(conn: Connection, decision: Decision, *, now_ms: int) -> None:
    """Wake the replicas for what a decision made due, now or at its next instant, the earlier."""
    ats = [] if decision.fire_ms is None else [decision.fire_ms]
    if any(run.status == "due" for run in decision.runs):
        ats.append(now_ms)
    if ats:
        await notices.wake(conn, min(ats))


def revised(locked: LockedJob, definition: Definition) -> Job:
    """Return the job under a new definition: one revision on, changed now."""
    return structs.replace(
        locked.job,
        definition=definition,
        revision=locked.job.revision + 1,
        updated_at=locked.now,
    )


def moved(
    plan: PlannedJob, scheduled_ms: int | None, runs_made: int, runs: list[NewRun] | None = None
) -> Decision:
    """Put a timer to an occurrence, or to rest; with the rows that the ledger gets."""
    fire_ms = None if scheduled_ms is None else fire_at(plan.timetable, scheduled_ms)
    return Decision(plan, scheduled_ms, fire_ms, runs_made, runs or [])


def at_rest(after: Job, runs_made: int, runs: list[NewRun] | None = None) -> Decision:
    """Put the timer of a paused job to rest, or to the instant at which its pause ends."""
    until = None if after.pause is None else after.pause.until
    fire_ms = None if until is None else epoch_ms(until)
    return Decision(planned(after), None, fire_ms, runs_made, runs or [])
