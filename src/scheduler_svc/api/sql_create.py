"""A job that an application made in SQL, read by a replica for the first time.

It stands paused, under a definition that stands in for the given one. Promises that it is judged as
by POST /jobs at the instant of the call: what is good is armed from there, so that nothing that the
schedule names after the call is lost; what is not stays paused, and its reason names every fault.
"""

from collections.abc import Callable

from msgspec import MsgspecError, structs

from scheduler_svc.api import audit, identity, job_create
from scheduler_svc.api.check_definition import Bench, judge, judge_schedule, read_definition
from scheduler_svc.api.context import Call
from scheduler_svc.api.job_change import moved, tell
from scheduler_svc.api.job_view import planned
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.drift import expect, versions
from scheduler_svc.domain.errors import Fault, QuotaExceeded, Refused
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Definition, Job, Target
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.store import expectations, incidents, jobs, timers
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.quotas import count_jobs, lock_creates
from scheduler_svc.store.sql_requests import SqlRequest
from scheduler_svc.store.timers import DEFINITION, NIL

FIRST = 1
REASON_MAX = 2000
REFUSED = "refused: "
NOT_READ = "created in SQL, and no replica has looked at it yet"
"""What the function writes as the reason of the first pause; the migration has the same words."""


async def create(
    conn: Connection,
    call: Call,
    asked: SqlRequest,
    names: frozenset[str],
    rules: NamespaceRules,
) -> Callable[[], None]:
    """Judge a job and arm it, or say why not; return what to tell once that is committed."""
    timer = await jobs.lock_timer(conn, asked.job_id)
    job = None if timer is None else await jobs.get_job(conn, asked.namespace, asked.job_id)
    if job is None:
        return lambda: None  # cancelled before anybody looked
    bench = job_create.bench_of(call, job.id, asked.asked_ms, names, rules)
    try:
        definition = _judged(call, job, bench)
        await _check_room(conn, call, rules)
    except Refused as refused:
        reason = f"{REFUSED}{told(refused)}"
        await say_why(conn, asked, reason, now_ms=call.deps.now_ms())
        await _note_refused(conn, call, job)
        return _saying(call, job, reason)
    await identity.ensure(conn, call, definition)
    made = await _arm(conn, call, structs.replace(job, definition=definition), asked)
    await audit.note_job(conn, call, Action.JOB_CREATED, None, made)
    return _saying(call, made)


def _judged(call: Call, job: Job, bench: Bench) -> Definition:
    """Return the normal form of what was given; raise Invalid.

    What somebody has changed meanwhile stands, among all that was given.
    """
    if job.revision == FIRST:
        return read_definition(call.body, bench)
    given = DEFINITION.decode(call.body)
    stood = stand_in(given, job)
    changed = {
        name: value
        for name in Definition.__struct_fields__
        if (value := getattr(job.definition, name)) != getattr(stood, name)
    }
    merged = structs.replace(given, **changed)
    bench = structs.replace(bench, stored=job.definition)
    schedule, faults = judge_schedule(merged.schedule, bench)
    return judge(merged, schedule, faults, bench)


async def _note_refused(conn: Connection, call: Call, job: Job) -> None:
    """Write down what was given; what stands in for it where no reader of JSON takes that."""
    try:
        given = structs.replace(job, definition=DEFINITION.decode(call.body))
        await audit.note_job(conn, call, Action.JOB_CREATED, None, given)
    except MsgspecError:
        await audit.note_job(conn, call, Action.JOB_CREATED, None, job)


def is_refused(job: Job) -> bool:
    """Tell whether a job is only the stand-in of one that was refused."""
    return job.pause is not None and (job.pause.reason or "").startswith(REFUSED)


def stand_in(given: Definition, job: Job) -> Definition:
    """Return what the function stores until the given definition was read."""
    return Definition(
        name=given.name,
        description=given.description,
        labels=given.labels,
        schedule=Schedule(at=job.created_at, if_past="skip"),
        target=Target(url=given.target.url),
    )


async def _check_room(conn: Connection, call: Call, rules: NamespaceRules) -> None:
    """Raise QuotaExceeded where the namespace has more jobs than it may; this one is among them."""
    most = rules.quotas.jobs_max
    if most is None:
        return
    await lock_creates(conn, call.namespace)
    if await count_jobs(conn, call.namespace, at_most=most + 1) > most:
        raise QuotaExceeded(
            f"the namespace '{call.namespace}' has all the jobs that its quota allows, {most}"
            " (jobs_max)"
        )


async def _arm(conn: Connection, call: Call, job: Job, asked: SqlRequest) -> Job:
    """Write the job as it was meant, with its timer and what becomes of past instants."""
    now_ms = call.deps.now_ms()
    waits = job.pause is not None and job.pause.reason != NOT_READ  # by somebody's wish
    ready = structs.replace(job, revision=job.revision + 1, updated_at=instant_at(now_ms))
    if waits:
        await jobs.update_job(conn, ready, None)
        return ready
    active = structs.replace(ready, state="active", pause=None)
    made = job_create.make(call, active, asked.asked_ms)
    await jobs.update_job(conn, made.job, None)
    at_ms = None if made.following is None else made.following.scheduled_ms
    plan = planned(made.job)
    decision = moved(plan, at_ms, job_create.sent(made.past), made.past)
    await timers.write_decisions(conn, [decision], replica=NIL, now_ms=now_ms)
    await tell(conn, decision, now_ms=now_ms)
    await expectations.write(conn, [expect(plan, now_ms)], versions())
    if made.look is not None:
        await incidents.watch_all(conn, {job.id: made.look})
    return made.job


async def say_why(conn: Connection, asked: SqlRequest, reason: str, *, now_ms: int) -> None:
    """Leave a job paused, with why."""
    job = await jobs.get_job(conn, asked.namespace, asked.job_id)
    if job is None or job.pause is None:
        return
    pause = structs.replace(job.pause, reason=reason[:REASON_MAX], by=None)
    after = structs.replace(
        job, pause=pause, revision=job.revision + 1, updated_at=instant_at(now_ms)
    )
    await jobs.update_job(conn, after, None)


def told(refused: Refused) -> str:
    """Name every fault of what was refused, with its pointer."""
    faults: tuple[Fault, ...] | list[Fault] = getattr(refused, "faults", ())
    listed = "; ".join(f"{fault.pointer or '/'}: {fault.detail}" for fault in faults)
    return listed or str(refused)


def _saying(call: Call, job: Job, reason: str | None = None) -> Callable[[], None]:
    def say() -> None:
        named = {"job_id": job.id, "namespace": job.namespace}
        call.deps.on_event(EventName.JOB_CREATED, **named)
        if reason is not None:
            call.deps.on_event(EventName.JOB_PAUSED, **named, reason=reason)
        elif job.state == "completed":
            call.deps.on_event(EventName.JOB_COMPLETED, job_id=job.id)

    return say
