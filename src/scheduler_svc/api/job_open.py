"""The unfinished runs of a locked job, and their end where a newer run takes their place."""

from collections.abc import Sequence
from uuid import UUID

from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import LockedJob
from scheduler_svc.domain.ids import scheduled_ms_of
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.store import notices, settlements, timers
from scheduler_svc.store.pool import Connection, transaction


async def open_runs(conn: Connection, locked: LockedJob) -> list[OpenRun]:
    """Return the unfinished runs of a job, without those that this change takes back unsent."""
    found = await timers.open_runs(conn, [locked.job.id])
    return standing_of(locked, found.get(locked.job.id, []))


def standing_of(locked: LockedJob, found: list[OpenRun]) -> list[OpenRun]:
    """Leave out of a job's unfinished runs those that this change takes back unsent."""
    unsent = frozenset[UUID]() if locked.unsent is None else locked.unsent.runs
    return [run for run in found if run.id not in unsent]


async def cancel_open(conn: Connection, run_ids: Sequence[UUID], *, now_ms: int) -> None:
    """End waiting runs that make way, and ask the holders of running ones to end theirs."""
    if not run_ids:
        return
    keys = [(run_id, scheduled_ms_of(run_id)) for run_id in run_ids]
    running = await settlements.cancel_runs(conn, keys, reason="overlap", now_ms=now_ms)
    for run_id in running:
        await notices.cancel(conn, run_id)


async def release_queued(call: Call, *job_ids: UUID) -> None:
    """Let runs go that were queued behind one which ended while we wrote them."""
    now_ms = call.deps.now_ms()
    async with transaction(call.deps.pool) as conn:
        if await settlements.release_queued(conn, job_ids, now_ms=now_ms):
            await notices.wake(conn, now_ms)
