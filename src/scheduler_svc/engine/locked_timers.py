"""What a look reads about the timers that it has locked, before it decides them."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from scheduler_svc.domain.decide import Decision, Timer
from scheduler_svc.domain.overlap import OpenRun
from scheduler_svc.domain.recorded import Recorded
from scheduler_svc.engine.jobs import KnownJob
from scheduler_svc.engine.parking import Parking
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store import timers
from scheduler_svc.store.pool import Connection

LEARNT_IN_A_ROW = 16


async def standing_of(
    conn: Connection, locked: list[Timer], known: dict[UUID, KnownJob]
) -> dict[UUID, list[OpenRun]]:
    """Return the unfinished runs that matter to each timer.

    Of a job that allows overlap only the run of this very occurrence does: where an edit put the
    timer back, some replica may still hold it.
    """
    contested, allowed = [], []
    for timer in locked:
        job = known.get(timer.job_id)
        if job is None or timer.scheduled_ms is None:
            continue
        if job.plan.definition.overlap == "allow":
            allowed.append((timer.job_id, timer.scheduled_ms))
        else:
            contested.append(timer.job_id)
    standing = await timers.open_runs(conn, contested) if contested else {}
    return standing | (await timers.open_occurrences(conn, allowed) if allowed else {})


async def recorded_of(
    conn: Connection, locked: list[Timer], known: dict[UUID, KnownJob]
) -> dict[UUID, Recorded]:
    """Return what the ledger holds already from where each timer stands: some were put back."""
    firsts = [
        (timer.job_id, timer.scheduled_ms)
        for timer in locked
        if timer.job_id in known and timer.scheduled_ms is not None
    ]
    return await timers.recorded_occurrences(conn, firsts) if firsts else {}


async def are_recorded(conn: Connection, decisions: Sequence[Decision]) -> bool:
    """Tell whether the ledger holds anything from where a range begins that is to be written: its
    first occurrence may have no row, and others have one.
    """
    firsts = []
    for decision in decisions:
        begins = [run.scheduled_ms for run in decision.runs if run.occurrences > 1]
        if begins:
            firsts.append((decision.job.id, min(begins)))
    return bool(firsts and await timers.recorded_occurrences(conn, firsts, at_most=1))


async def known_of(
    parts: Parts, conn: Connection, locked: list[Timer], parking: Parking
) -> dict[UUID, KnownJob]:
    """Return the locked timers' jobs, reading those whose present revision is not known."""
    known = {}
    missing = []
    for timer in locked:
        job = parts.jobs.get(timer.job_id, timer.revision)
        if job is None:
            missing.append(timer.job_id)
        else:
            known[timer.job_id] = job
    if missing:
        for count, stored in enumerate(await timers.load_definitions(conn, missing), 1):
            if count % LEARNT_IN_A_ROW == 0:
                await give_way(parts)
            try:
                known[stored.id] = parts.jobs.learn(stored)
            except Exception as error:  # noqa: BLE001 - the poison guard
                await parking.park(conn, stored.id, error)
    return known


async def give_way(parts: Parts) -> None:
    """Let what is due leave, after so many jobs that were learnt in a row."""
    if parts.hand.is_due(parts.clock.now_ms()):
        await asyncio.sleep(0)
