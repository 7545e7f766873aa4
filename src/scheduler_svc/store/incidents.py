"""What jobs remember for their alerts, and alerts as runs: on the caller's transaction.

Locks the memories after the runs whose ends are noted; the caller holds the timers of jobs that may
be paused. Ends of jobs that are gone are noted no more: there is nothing to remember.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.decide import PlannedJob
from scheduler_svc.domain.ids import RANDOM_BYTES, epoch_ms, instant_at, random_run_id
from scheduler_svc.domain.incident_event import cloud_event, run_shown
from scheduler_svc.domain.incident_watch import watching
from scheduler_svc.domain.incidents import Condition, End, Memory, Raised, judge
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.runs import AlertCall, Overrides
from scheduler_svc.store import settlements
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

Draw = Callable[[int], bytes]


class Case(msgspec.Struct, frozen=True):
    """An end of a run, with its job and whom to tell; None where nobody is told."""

    job: PlannedJob
    rule: Alerts | None
    end: End


class Alert(msgspec.Struct, frozen=True):
    """Something to tell of a job; `run` is shown in the event where it is about one."""

    job: PlannedJob
    url: str
    raised: Raised
    run: dict[str, object] | None = None


class Told(msgspec.Struct, frozen=True):
    """An alert that became a run."""

    run_id: UUID
    job_id: UUID
    condition: Condition


class Noted(msgspec.Struct, frozen=True):
    """What came of noting ends: alerts on their way, and jobs paused with their reasons."""

    told: list[Told] = []
    paused: dict[UUID, str] = {}


async def note(
    conn: Connection,
    cases: Sequence[Case],
    *,
    now_ms: int,
    draw: Draw,
    paused: Mapping[UUID, str] | None = None,
) -> Noted:
    """Judge ends in their order, remember, write alerts and pause; `paused` were so already."""
    memories = await _memories(conn, sorted({case.job.id for case in cases}))
    alerts: list[Alert] = []
    stopped = dict(paused or {})
    for case in cases:
        memory = memories.get(case.job.id)
        if memory is None:
            continue
        judged = judge(case.job, case.rule, memory, case.end)
        memories[case.job.id] = judged.memory
        alerts += [_alert(case, raised) for raised in judged.raised]
        if judged.pause is not None and await settlements.pause_jobs(
            conn, [case.job.id], reason=judged.pause, now_ms=now_ms
        ):
            stopped[case.job.id] = judged.pause
    alerts += [
        _alert(case, Raised("auto_paused", f"The job was paused: {stopped[case.job.id]}."))
        for case in {case.job.id: case for case in cases if case.rule is not None}.values()
        if case.job.id in stopped
    ]
    await write_memories(conn, _watched(cases, memories, now_ms))
    return Noted(await tell(conn, alerts, now_ms=now_ms, draw=draw), stopped)


async def tell(conn: Connection, alerts: Sequence[Alert], *, now_ms: int, draw: Draw) -> list[Told]:
    """Write alerts as runs that are due now."""
    if not alerts:
        return []
    ids = [random_run_id(now_ms, draw(RANDOM_BYTES)) for _ in alerts]
    await conn.execute(
        statement("insert_alerts"),
        ids,
        [alert.job.id for alert in alerts],
        [alert.job.definition.name for alert in alerts],
        [alert.job.namespace for alert in alerts],
        [_call(alert, run_id, now_ms) for alert, run_id in zip(alerts, ids, strict=True)],
        instant_at(now_ms),
    )
    return [
        Told(run_id, alert.job.id, alert.raised.condition)
        for alert, run_id in zip(alerts, ids, strict=True)
    ]


async def write_memories(conn: Connection, memories: Mapping[UUID, Memory]) -> None:
    """Write what locked jobs remember now."""
    kept = list(memories.values())
    await conn.execute(
        statement("write_memories"),
        list(memories),
        [one.failures_in_row for one in kept],
        [one.outcomes for one in kept],
        [f"{{{','.join(map(str, one.durations))}}}" for one in kept],
        [f"{{{','.join(sorted(one.incidents))}}}" for one in kept],
        [_instant(one.last_started_ms) for one in kept],
        [_instant(one.quiet_ms) for one in kept],
        [_instant(one.watch_ms) for one in kept],
    )


def first_look(job: PlannedJob, rule: Alerts | None, *, now_ms: int) -> Memory | None:
    """Return from when on a job is looked at; None where nobody is told, or it fires no more."""
    return None if rule is None else watching(job, rule, Memory(), now_ms=now_ms)


async def watch(conn: Connection, job: PlannedJob, rule: Alerts | None, *, now_ms: int) -> None:
    """Look at a job from now on, where its alerts say so; `rule` is None where it fires no more."""
    await watch_all(conn, {job.id: first_look(job, rule, now_ms=now_ms)})


async def watch_all(conn: Connection, looks: Mapping[UUID, Memory | None]) -> None:
    """Look at jobs from now on, and at those of None no more."""
    seen = {job_id: look for job_id, look in sorted(looks.items()) if look is not None}
    if unseen := sorted(looks.keys() - seen.keys()):
        await conn.execute(statement("unwatch_jobs"), unseen)
    if seen:
        await conn.execute(
            statement("watch_jobs"),
            list(seen),
            [_instant(look.quiet_ms) for look in seen.values()],
            [_instant(look.watch_ms) for look in seen.values()],
        )


def memory_of(row: Record) -> Memory:
    """Make a memory of a row."""
    return Memory(
        failures_in_row=row["failures_in_row"],
        outcomes=row["outcomes"],
        durations=row["durations"],
        incidents=frozenset(row["incidents"]),
        last_started_ms=_ms(row, "last_started_at"),
        quiet_ms=_ms(row, "quiet_from"),
        watch_ms=_ms(row, "watch_at"),
    )


async def _memories(conn: Connection, job_ids: list[UUID]) -> dict[UUID, Memory]:
    """Lock what jobs remember; those that remember nothing yet begin to."""
    rows = await conn.fetch(statement("lock_memories"), job_ids)
    if len(rows) < len(job_ids):
        await conn.execute(statement("begin_memories"), job_ids)
        rows = await conn.fetch(statement("lock_memories"), job_ids)
    return {row["job_id"]: memory_of(row) for row in rows}


def _watched(
    cases: Sequence[Case], memories: dict[UUID, Memory], now_ms: int
) -> dict[UUID, Memory]:
    """Let jobs that nobody looks at yet be looked at: their rule may be their namespace's."""
    for case in cases:
        memory = memories.get(case.job.id)
        if memory is not None and memory.watch_ms is None and case.rule is not None:
            memories[case.job.id] = watching(case.job, case.rule, memory, now_ms=now_ms)
    return memories


def _alert(case: Case, raised: Raised) -> Alert:
    if case.rule is None or case.rule.url is None:
        raise RuntimeError("an alert that nobody is to be told of")
    return Alert(case.job, case.rule.url, raised, run_shown(case.end))


def _call(alert: Alert, run_id: UUID, now_ms: int) -> str:
    job = alert.job
    event = cloud_event(run_id, alert.raised, job, alert.run, now_ms=now_ms)
    call = AlertCall(
        url=alert.url, namespace=job.namespace, job_name=job.definition.name, event=event
    )
    return msgspec.json.encode(Overrides(alert=call)).decode()


def _ms(row: Record, name: str) -> int | None:
    at = row[name]
    return None if at is None else epoch_ms(at)


def _instant(ms: int | None) -> datetime | None:
    return None if ms is None else instant_at(ms)
