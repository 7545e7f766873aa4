"""Creating a job in one statement, where the job is all that a request makes.

Promises what the long way does, in one round trip, which a job without a name shares with others:
the job with its timer, its expectation and its audit entry in one transaction, judged by the rules
that its namespace has as it is written. What takes more than that, or is refused by rules that may
be old, is left to the long way.
"""

from collections.abc import Sequence

from scheduler_svc.api import audit, etag, herd, job_create
from scheduler_svc.api.check_templates import MENTIONED, NO_NAMES
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_create import Made
from scheduler_svc.api.job_view import job_view
from scheduler_svc.api.known_rules import Known
from scheduler_svc.api.wire_jobs import JobWarning
from scheduler_svc.domain.audit_change import created_text
from scheduler_svc.domain.drift import expect, versions
from scheduler_svc.domain.errors import Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.herd import HERD_MIN
from scheduler_svc.domain.jobs import Job, OidcAuth
from scheduler_svc.store import expectations
from scheduler_svc.store.job_create import Entry, New, create_job
from scheduler_svc.store.pool import connection


async def at_once(call: Call, now_ms: int) -> Reply | None:
    """Create a job; None where that takes the long way."""
    if MENTIONED in call.body:
        return None
    known = await call.deps.rules.of(call.deps.pool, call.namespace, call.deps.quotas)
    if known.rules.quotas.jobs_max is not None:
        return None
    try:
        new = job_create.draft(call, now_ms, NO_NAMES, known.rules, known.parts)
    except Invalid:
        return None
    made = job_create.make(call, new, now_ms)
    if made.past or made.look is not None or _asks_more(made.job):
        return None
    reply = await _written(call, made, known, now_ms)
    if reply is not None:
        call.deps.on_event(EventName.JOB_CREATED, job_id=made.job.id, namespace=call.namespace)
    return reply


async def _written(call: Call, made: Made, known: Known, now_ms: int) -> Reply | None:
    """Write the job; None where the rules of its namespace have changed."""
    new = _new(call, made, known, now_ms)
    if call.token is None and made.job.definition.name is None:
        crowd = await call.deps.creates.create_job(new)
        if crowd is None or crowd < HERD_MIN:
            return _answer(call, made, crowd, [], now_ms)
        async with connection(call.deps.pool) as conn:
            return _answer(call, made, crowd, await herd.beside(conn, call, made.job), now_ms)
    async with writing(call, alone=True) as conn:
        crowd = await create_job(conn, new)
        crowded = crowd is not None and crowd >= HERD_MIN
        also = await herd.beside(conn, call, made.job) if crowded else []
        reply = _answer(call, made, crowd, also, now_ms)
        return None if reply is None else await keep(conn, call, reply)


def _new(call: Call, made: Made, known: Known, now_ms: int) -> New:
    job = made.job
    return New(
        job=job,
        expected=expectations.of_one(expect(made.plan, now_ms), versions()),
        wake_ms=job_create.wake_ms(made, now_ms),
        settings=known.settings,
        near=herd.minute_of(job.definition.schedule, job.next_fire_at, made.plan.timetable),
        entry=Entry(
            actor=audit.actor_of(call.caller),
            address=call.peer,
            request_id=call.request_id,
            after=created_text(job),
        ),
    )


def _answer(
    call: Call, made: Made, crowd: int | None, also: Sequence[JobWarning], now_ms: int
) -> Reply | None:
    job = made.job
    if crowd is None:
        call.deps.rules.forget(call.namespace)
        return None
    return Reply(
        status=201,
        body=job_view(job, now_ms=now_ms, also=also, plan=made.plan),
        headers={"Location": f"/jobs/{job.id}", "ETag": etag.of(job.revision)},
    )


def _asks_more(job: Job) -> bool:
    """Tell whether something else must be read or written with a job."""
    target = job.definition.target
    return bool(target.sign) or isinstance(target.auth, OidcAuth)
