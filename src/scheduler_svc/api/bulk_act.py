"""One action on a batch of jobs, in one transaction: what the verbs of one job do, for many.

Promises the same states, ledger and cadence as the single verbs; a few statements a batch, whatever
its size; and one notice to wake the replicas, with one more for each job that a replica holds.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec import Struct, structs

from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import LockedJob, look_at, moved
from scheduler_svc.api.job_open import cancel_open, standing_of
from scheduler_svc.api.job_pause import paused, resumed
from scheduler_svc.api.job_view import planned
from scheduler_svc.domain import overlap
from scheduler_svc.domain.arming import recorded_from
from scheduler_svc.domain.decide import Decision
from scheduler_svc.domain.ids import RANDOM_BYTES, random_run_id
from scheduler_svc.domain.jobs import Job
from scheduler_svc.store import bulk_change, expectations, incidents, notices, timers
from scheduler_svc.store.backfills import cancel_backfills_of
from scheduler_svc.store.bulk_change import ManualRun
from scheduler_svc.store.jobs import TimerState
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.timers import NIL


class Acted(Struct, frozen=True):
    """Which jobs changed, which of them replicas hold runs of, and which have a run in line."""

    done: list[UUID] = []
    held: list[UUID] = []
    queued: list[UUID] = []


async def lock_jobs(conn: Connection, call: Call, job_ids: Sequence[UUID]) -> list[LockedJob]:
    """Lock jobs against the claim and other changes, in the order of their ids."""
    locked = await expectations.lock_timers(conn, sorted(job_ids))
    known = {timer.job_id: timer for timer in locked}
    found = await bulk_change.get_jobs(conn, call.namespace, list(known))
    now_ms = call.deps.now_ms()
    unsent = await bulk_change.unsent_of(conn, [job.id for job in found], now_ms=now_ms)
    return [
        LockedJob(
            job=job,
            plan=planned(job),
            timer=TimerState(
                known[job.id].scheduled_for, known[job.id].fire_at, known[job.id].runs_made
            ),
            unsent=unsent.get(job.id),
            now_ms=now_ms,
            shared=call.deps.namespace_alerts(job.namespace),
        )
        for job in found
    ]


async def pause(conn: Connection, call: Call, job_ids: Sequence[UUID]) -> Acted:
    """Pause those that are not paused."""
    locked = [one for one in await lock_jobs(conn, call, job_ids) if one.job.state != "paused"]
    return await _change(
        conn, [(one, *paused(one, None, None, call.caller.name)) for one in locked]
    )


async def resume(conn: Connection, call: Call, job_ids: Sequence[UUID]) -> Acted:
    """Resume those that are paused; what passed is one skipped row of each."""
    locked = [one for one in await lock_jobs(conn, call, job_ids) if one.job.state == "paused"]
    if not locked:
        return Acted()
    since = [
        (one.job.id, recorded_from(one.job.pause, one.plan))
        for one in locked
        if one.job.pause is not None
    ]
    last = await bulk_change.last_occurrences(conn, since, until_ms=locked[0].now_ms)
    recorded = dict(since) | last
    standing = await timers.open_runs(conn, [one.job.id for one in locked])
    changes = [
        (
            one,
            *resumed(
                one,
                "skip",
                after_ms=recorded.get(one.job.id, one.now_ms),
                busy=bool(standing_of(one, standing.get(one.job.id, []))),
            ),
        )
        for one in locked
    ]
    return await _change(conn, changes)


async def delete(conn: Connection, call: Call, job_ids: Sequence[UUID]) -> Acted:
    """Delete jobs; runs that are under way end as they will."""
    locked = await lock_jobs(conn, call, job_ids)
    if not locked:
        return Acted()
    ids, now_ms = [one.job.id for one in locked], locked[0].now_ms
    await cancel_backfills_of(conn, ids, reason="job_deleted", now_ms=now_ms)
    await bulk_change.forget_unsent(conn, ids, now_ms=now_ms)
    await bulk_change.delete_jobs(conn, ids, now_ms=now_ms)
    return Acted(ids, await _tell_holders(conn, locked))


async def trigger(conn: Connection, call: Call, job_ids: Sequence[UUID]) -> Acted:
    """Run jobs now, each by its overlap policy; those that it forbids are left out."""
    locked = await lock_jobs(conn, call, job_ids)
    if not locked:
        return Acted()
    now_ms = locked[0].now_ms
    found = await timers.open_runs(conn, [one.job.id for one in locked])
    runs: list[ManualRun] = []
    cancelled: list[UUID] = []
    taken: list[LockedJob] = []
    for one in locked:
        policy = one.job.definition.overlap
        verdict = overlap.judge(policy, standing_of(one, found.get(one.job.id, [])))
        if verdict.then == "skip":
            continue
        cancelled += verdict.cancel
        run_id = random_run_id(now_ms, call.deps.random_bytes(RANDOM_BYTES))
        runs.append(ManualRun(run_id, one.job, verdict.then == "queue"))
        if one.unsent is not None and policy != "allow":
            taken.append(one)
    moves = [(one, moved(one.plan, _first(one), one.runs_made)) for one in taken]
    held = await _move(conn, moves)
    await cancel_open(conn, cancelled, now_ms=now_ms)
    if runs:
        await bulk_change.insert_runs(conn, runs, now_ms=now_ms)
        await notices.wake(conn, now_ms)
    queued = [run.job.id for run in runs if run.queued]
    return Acted([run.job.id for run in runs], held, queued)


def _first(locked: LockedJob) -> int | None:
    return None if locked.unsent is None else locked.unsent.first_ms


async def _change(conn: Connection, changes: Sequence[tuple[LockedJob, Job, Decision]]) -> Acted:
    """Write changed jobs, and where their timers go."""
    if not changes:
        return Acted()
    await bulk_change.change_states(conn, [after for _, after, _ in changes], changes[0][0].now)
    held = await _move(conn, [(one, move) for one, _, move in changes])
    await incidents.watch_all(conn, {after.id: look_at(one, after) for one, after, _ in changes})
    return Acted([after.id for _, after, _ in changes], held)


async def _move(conn: Connection, moves: Sequence[tuple[LockedJob, Decision]]) -> list[UUID]:
    """Put timers elsewhere, as `job_change.move_timer` does one; return whose runs are held."""
    if not moves:
        return []
    now_ms = moves[0][0].now_ms
    decisions = [
        structs.replace(move, runs_made=move.runs_made + (one.unsent.held if one.unsent else 0))
        for one, move in moves
    ]
    await bulk_change.forget_unsent(conn, [one.job.id for one, _ in moves], now_ms=now_ms)
    await timers.write_decisions(conn, decisions, replica=NIL, now_ms=now_ms)
    earliest = min(_due_instants(decisions, now_ms), default=None)
    if earliest is not None:
        await notices.wake(conn, earliest)
    return await _tell_holders(conn, [one for one, _ in moves])


def _due_instants(decisions: Sequence[Decision], now_ms: int) -> Iterator[int]:
    for decision in decisions:
        if any(run.status == "due" for run in decision.runs):
            yield now_ms
        elif decision.fire_ms is not None:
            yield decision.fire_ms


async def _tell_holders(conn: Connection, locked: Sequence[LockedJob]) -> list[UUID]:
    """Ask the holders of unsent runs to give them up; return the jobs that have such."""
    held = [one.job.id for one in locked if one.unsent is not None and one.unsent.held]
    for job_id in held:
        await notices.edited(conn, job_id, timer_moved=True)
    return held
