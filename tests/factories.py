"""Legal values to begin a test with, and an engine's moves made one at a time.

The moves are the store's own functions: a test plays the replica that claims and settles.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx2
import msgspec

from scheduler_svc.domain.decide import Decision, decide, plan_job
from scheduler_svc.domain.ids import random_run_id, scheduled_ms_of
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.runs import Trigger
from scheduler_svc.store import settlements, timers
from scheduler_svc.store.pool import Pool, transaction
from scheduler_svc.store.runs import ExtraRun, insert_run
from scheduler_svc.store.settlements import Held, Settlement
from scheduler_svc.store.timers import DEFINITION, Mark

Json = dict[str, Any]


class Clock(Protocol):
    """The database's clock as the API reads it, moved by hand; None is the machine's."""

    ms: int | None


URL = "http://127.0.0.1:9/hook"
MORNING_MS = 1_767_600_000_000
"""2026-01-05T08:00:00Z, a Monday."""


def body(**changes: Any) -> Json:
    """The smallest job that is legal, with changes; `target` and the like are laid over it."""
    made: Json = {"schedule": {"every": "1h"}, "target": {"url": URL}}
    for name, value in changes.items():
        laid_over = name == "target" and isinstance(value, Mapping)
        made[name] = {**made[name], **value} if laid_over else value
    return made


def definition(**changes: Any) -> Definition:
    """The same, decoded."""
    return msgspec.convert(body(**changes), Definition)


async def create(http: httpx2.AsyncClient, **changes: Any) -> Json:
    """Create a job by the public verb and return it."""
    answer = await http.post("/jobs", json=body(**changes))
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def claim(
    pool: Pool, *, now_ms: int, lookahead_ms: int = 1000, replica: UUID | None = None
) -> list[Decision]:
    """Claim what is due within the lookahead, as a replica does in one pass."""
    decisions = []
    async with transaction(pool) as conn:
        due = await timers.lock_due(conn, Mark(), horizon_ms=now_ms + lookahead_ms, batch=100)
        ids = [timer.job_id for timer in due]
        stored = {job.id: job for job in await timers.load_definitions(conn, ids)}
        standing = await timers.open_runs(conn, ids)
        for timer in due:
            job = stored[timer.job_id]
            plan = plan_job(
                job.id,
                job.namespace,
                job.revision,
                DEFINITION.decode(job.definition),
                job.created_at,
            )
            verdict = decide(plan, timer, standing.get(job.id, []), now_ms=now_ms)
            if isinstance(verdict, Decision):
                decisions.append(verdict)
        await timers.write_decisions(conn, decisions, replica=replica or uuid4(), now_ms=now_ms)
        done = [decision.job.id for decision in decisions if decision.completed]
        await timers.complete_jobs(conn, done, now_ms=now_ms)
    return decisions


async def forget(pool: Pool, run_id: UUID, replica: UUID) -> None:
    """Give up a held run, as its holder does when an edit tells it to."""
    async with transaction(pool) as conn:
        held = [Held(run_id, scheduled_ms_of(run_id), 1)]
        await settlements.forget_runs(conn, held, replica=replica, now_ms=0)


async def settle(
    pool: Pool,
    run_id: str,
    job_id: str,
    *,
    now_ms: int,
    status: str = "succeeded",
    reason: str | None = None,
    records: Sequence[Json] = (),
) -> None:
    """End a running run, as its replica does."""
    async with transaction(pool) as conn:
        settled = await settlements.settle(
            conn,
            [
                Settlement(
                    id=UUID(run_id),
                    job_id=UUID(job_id),
                    scheduled_ms=scheduled_ms_of(UUID(run_id)),
                    attempt=1,
                    status=status,  # type: ignore[arg-type]
                    reason=reason,
                    record=msgspec.json.encode(records[0]).decode() if records else None,
                    started_ms=now_ms,
                    finished_ms=now_ms,
                    lateness_ms=7,
                    duration_ms=12,
                )
            ],
        )
        assert settled
        await settlements.release_queued(conn, [UUID(job_id)], now_ms=now_ms)


async def waiting_run(
    pool: Pool, job_id: UUID, *, at_ms: int, trigger: Trigger = "manual", **changes: Any
) -> UUID:
    """Write a run that waits, at an instant."""
    run = ExtraRun(
        id=random_run_id(at_ms, os.urandom(10)),
        scheduled_ms=at_ms,
        job_id=job_id,
        job_name=None,
        namespace="default",
        trigger=trigger,
        priority=0,
        due_ms=at_ms,
    )
    async with transaction(pool) as conn:
        await insert_run(conn, msgspec.structs.replace(run, **changes))
    return run.id
