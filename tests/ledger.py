"""Rows of the store in bulk and by hand, for tests of its statements."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from factories import MORNING_MS, definition
from scheduler_svc.domain.decide import Decision, NewRun, PlannedJob, plan_job
from scheduler_svc.domain.ids import instant_at, run_id
from scheduler_svc.domain.jobs import Job
from scheduler_svc.store import jobs, replicas, timers
from scheduler_svc.store.jobs import TimerState
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.replicas import Beat, Identity
from scheduler_svc.store.settlements import Held, Settlement

HOUR = 3_600_000


async def add_job(conn: Connection, *, fire_ms: int = MORNING_MS, **changes: Any) -> PlannedJob:
    """Store a job due at an instant."""
    made = definition(**changes)
    at = instant_at(MORNING_MS - HOUR)
    job = Job(
        id=uuid4(),
        namespace="default",
        definition=made,
        state="active",
        pause=None,
        revision=1,
        created_at=at,
        updated_at=at,
        next_fire_at=None,
    )
    due = instant_at(fire_ms)
    await jobs.insert_job(conn, job, TimerState(due, due))
    return plan_job(job.id, "default", 1, made, at)


def a_run(job: PlannedJob, at_ms: int = MORNING_MS, **changes: Any) -> NewRun:
    """Name an occurrence's run, `running` unless said otherwise."""
    fields: dict[str, Any] = {"fire_ms": at_ms, "trigger": "schedule", "status": "running"}
    return NewRun(run_id(job.id, at_ms), at_ms, **(fields | changes))


async def write(
    conn: Connection,
    job: PlannedJob,
    *runs: NewRun,
    replica: UUID,
    now_ms: int = MORNING_MS,
    next_ms: int = MORNING_MS + HOUR,
) -> set[UUID]:
    """Write a decision: the timer to its next occurrence, and these runs."""
    decision = Decision(job, next_ms, next_ms, len(runs), list(runs))
    return await timers.write_decisions(conn, [decision], replica=replica, now_ms=now_ms)


async def due_run(
    conn: Connection,
    job: PlannedJob,
    *,
    due_ms: int,
    priority: int = 0,
    queued: bool = False,
    at_ms: int | None = None,
) -> UUID:
    """Write a waiting run of any priority."""
    run = a_run(job, due_ms if at_ms is None else at_ms, status="due", queued=queued)
    await write(conn, job, run, replica=uuid4())
    await conn.execute(
        "UPDATE runs SET priority = $2, next_attempt_at = $3 WHERE id = $1",
        run.id,
        priority,
        instant_at(due_ms),
    )
    return run.id


def an_end(job: PlannedJob, run: NewRun, **changes: Any) -> Settlement:
    """Settle a run's first attempt as succeeded, unless said otherwise."""
    fields: dict[str, Any] = {
        "attempt": 1,
        "status": "succeeded",
        "started_ms": run.fire_ms,
        "finished_ms": run.fire_ms + 5,
        "record": '{"number":1}',
    }
    return Settlement(id=run.id, job_id=job.id, scheduled_ms=run.scheduled_ms, **(fields | changes))


def holding(run: NewRun, attempt: int = 1) -> Held:
    return Held(run.id, run.scheduled_ms, attempt)


async def alive(
    conn: Connection, replica: UUID, *, now_ms: int = MORNING_MS, lease_ms: int = 15_000
) -> None:
    """Beat once."""
    who = Identity(id=replica, host="here", pid=1, version="0", tzdata="0", role="all", slots=10)
    beat = Beat(
        started_at=instant_at(now_ms),
        now_ms=now_ms,
        lease_until_ms=now_ms + lease_ms,
        running=0,
        clock_offset_ms=0.0,
    )
    await replicas.heartbeat(conn, who, beat)


async def status_of(conn: Connection, run: UUID) -> tuple[str, int, datetime | None]:
    """Return status, attempts made and when the next one is due."""
    row = await conn.fetchrow(
        "SELECT status, attempt_count, next_attempt_at FROM runs WHERE id = $1", run
    )
    assert row is not None
    return row["status"], row["attempt_count"], row["next_attempt_at"]
