"""What applications asked for in SQL, carried out as if the API had been asked by them.

A function of the schema `scheduler` leaves a request in the application's transaction; what it may
not judge in SQL is judged here, after the commit. Promises that each request is carried out once,
in order; that a job which is refused stands paused, with all that is wrong with it as the reason;
and that one request which can not be carried out holds up no other.
"""

from collections.abc import Callable
from time import monotonic
from uuid import UUID

from msgspec import Struct, json, structs
from starlette.datastructures import Headers

from scheduler_svc.api import audit, sql_create
from scheduler_svc.api.check_templates import MENTIONED, NO_NAMES, names_of
from scheduler_svc.api.context import Call, Deps
from scheduler_svc.api.job_open import release_queued
from scheduler_svc.api.job_trigger import make_run
from scheduler_svc.api.namespace_rules import NamespaceRules, rules_of
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_jobs import JobTriggerRequest
from scheduler_svc.domain.access import Caller
from scheduler_svc.domain.audit import Action, Resource
from scheduler_svc.domain.errors import (
    Conflict,
    NotFound,
    Overlapping,
    QuotaExceeded,
    Refused,
)
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.jobs import Overlap
from scheduler_svc.domain.secrecy import masked_target
from scheduler_svc.store import jobs, sql_requests
from scheduler_svc.store.away import is_database_away, is_held_up, is_worth_one_more
from scheduler_svc.store.backfills import cancel_backfills_of
from scheduler_svc.store.pool import Connection, connection, transaction
from scheduler_svc.store.sql_requests import SqlRequest
from scheduler_svc.store.timers import DEFINITION

BATCH = 50
BATCH_SECONDS = 1.0
Say = Callable[[], None]
"""What is told once the transaction has committed."""


class _Overrides(Struct, frozen=True):
    """What a trigger in SQL says besides its job; `text` is the body as JSON."""

    overlap: Overlap | None = None
    text: str | None = None


async def carry_out(deps: Deps) -> int:
    """Carry out the next few requests; return how many there were.

    All at once; where one of them raises, again, each behind a savepoint: what can not be carried
    out is set aside, and what waits for somebody's lock is left, with all of its job after it.
    """
    async with connection(deps.pool) as conn:
        if not await sql_requests.is_any(conn):
            return 0
    left: set[UUID] = set()
    try:
        done = await _batch(deps)
    except Exception as error:
        if is_database_away(error) and not is_held_up(error):
            raise
        done = _Done(looked=1)
        while done.looked and not done.count:
            done = await _batch(deps, left)
    for say in done.told:
        say()
    for call in done.queued:
        await release_queued(call, UUID(call.path["id"]))
    return done.count


def may_be_repeated(error: Exception) -> bool:
    """Tell whether the same may succeed another time: the database is away, or chose a victim."""
    return is_database_away(error) or is_worth_one_more(error)


class _Done(Struct):
    """What a batch came to; rules of namespaces are read once."""

    looked: int = 0
    count: int = 0
    told: list[Say] = []
    queued: list[Call] = []
    rules: dict[str, NamespaceRules] = {}


async def _batch(deps: Deps, left: set[UUID] | None = None) -> _Done:
    """Carry out some requests in one transaction; with `left` apart, but for those of these jobs.

    Takes no more than there is time for: the transaction has a deadline, and would do nothing.
    """
    done, gone = _Done(), list[SqlRequest]()
    async with transaction(deps.pool) as conn:
        if not await sql_requests.try_lock(conn):
            return done
        batch = await sql_requests.oldest(conn, batch=BATCH, besides=left or ())
        done.looked = len(batch)
        if batch:
            await sql_requests.wait_briefly(conn)
        until = monotonic() + BATCH_SECONDS
        for asked in batch:
            if left is not None and asked.job_id in left:
                continue
            call = _call(deps, asked)
            if left is None:
                done.told.append(await _one(conn, call, asked, done))
            elif (say := await _apart(conn, call, asked, done)) is None:
                left.add(asked.job_id)
                continue
            else:
                done.told.append(say)
            gone.append(asked)
            if monotonic() > until:
                break
        if gone:
            await sql_requests.delete(conn, gone)
        done.count = len(gone)
    return done


async def _apart(conn: Connection, call: Call, asked: SqlRequest, done: _Done) -> Say | None:
    """Carry out one request, or set it aside; None where it is held up."""
    queued = len(done.queued)
    try:
        async with conn.transaction():
            return await _one(conn, call, asked, done)
    except Exception as error:
        del done.queued[queued:]
        if is_held_up(error):
            return None
        if may_be_repeated(error):
            raise
        return await _give_up(conn, call, asked, error)


def _call(deps: Deps, asked: SqlRequest) -> Call:
    """Write a request in SQL as one by HTTP: its caller is the role of the database's session."""
    caller = Caller(id=f"database:{asked.role}", name=asked.role, namespace=asked.namespace)
    return Call(
        deps=deps,
        request_id=f"sql-{asked.id}",
        namespace=asked.namespace,
        method="SQL",
        url_path="",
        path={"id": str(asked.job_id)},
        query={},
        query_string="",
        headers=Headers(),
        body=asked.document.encode(),
        caller=caller,
        peer=asked.address,
    )


async def _one(conn: Connection, call: Call, asked: SqlRequest, done: _Done) -> Say:
    match asked.verb:
        case "create":
            if asked.namespace not in done.rules:
                done.rules[asked.namespace] = await rules_of(conn, call)
            rules = done.rules[asked.namespace]
            return await sql_create.create(conn, call, asked, await _names(conn, call), rules)
        case "trigger":
            return await _trigger(conn, call, asked, done.queued)
        case "cancel":
            return await _cancel(conn, call, asked)


async def _names(conn: Connection, call: Call) -> frozenset[str]:
    """Return the names of the namespace's secrets, where the request mentions any."""
    return await names_of(conn, call.namespace) if MENTIONED in call.body else NO_NAMES


async def _trigger(conn: Connection, call: Call, asked: SqlRequest, queued: list[Call]) -> Say:
    """Make the run that was promised; one that may not be is written down as not sent."""
    job = await jobs.get_job(conn, asked.namespace, asked.job_id)
    if job is not None and sql_create.is_refused(job):
        return await _unsent(conn, call, asked, Refused("the job was refused"))
    try:
        async with conn.transaction():
            wanted = _wanted(call.body)
            made = await make_run(conn, call, wanted, await _names(conn, call), asked.run_id)
    except Refused as refused:
        return await _unsent(conn, call, asked, refused)
    if made.queued:
        queued.append(call)
    return _nothing


def _wanted(document: bytes) -> JobTriggerRequest:
    """Read what a run does differently, as from a request by HTTP; raise Malformed, Invalid."""
    given = json.decode(document, type=_Overrides)
    if given.text is None:
        return JobTriggerRequest(overlap=given.overlap)
    body = decode(b'{"body":%b}' % given.text.encode(), JobTriggerRequest)
    return structs.replace(body, overlap=given.overlap)


async def _unsent(conn: Connection, call: Call, asked: SqlRequest, refused: Refused) -> Say:
    match refused:
        case Overlapping():
            reason = "overlap"
        case QuotaExceeded():
            reason = "quota"
        case NotFound():
            reason = "job_deleted"
        case Conflict():
            reason = "held"
        case _:
            reason = "refused"
    job = await jobs.get_job(conn, asked.namespace, asked.job_id)
    name = None if job is None else job.definition.name
    await sql_requests.insert_unsent(
        conn, asked, name=name, reason=reason, now_ms=call.deps.now_ms()
    )
    told = sql_create.told(refused)
    after = {"run": str(asked.run_id), "skipped": reason, "detail": told}
    resource = structs.replace(resource_of(asked), name=name)
    await audit.note(conn, call, Action.JOB_TRIGGERED, resource, after=after)

    def say() -> None:
        call.deps.on_event(
            EventName.RUN_SKIPPED,
            run_id=asked.run_id,
            job_id=asked.job_id,
            reason=reason,
            occurrences=1,
            policy=None,
        )

    return _nothing if reason == "job_deleted" else say


async def _cancel(conn: Connection, call: Call, asked: SqlRequest) -> Say:
    """End what waits of a job that is gone, and tell of it."""
    now_ms = call.deps.now_ms()
    await cancel_backfills_of(conn, [asked.job_id], reason="job_deleted", now_ms=now_ms)
    await jobs.forget_unsent(conn, asked.job_id, now_ms=now_ms)
    await jobs.delete_job(conn, asked.job_id, now_ms=now_ms)
    definition = DEFINITION.decode(asked.document)
    shown = structs.replace(definition, target=masked_target(definition.target))
    await audit.note(conn, call, Action.JOB_DELETED, resource_of(asked), before=shown)

    def say() -> None:
        call.deps.on_event(EventName.JOB_DELETED, job_id=asked.job_id, namespace=asked.namespace)

    return say


def resource_of(asked: SqlRequest) -> Resource:
    """Name the job that a request is about."""
    return Resource(kind="job", id=str(asked.job_id), name=asked.job_name, job_id=asked.job_id)


async def _give_up(conn: Connection, call: Call, asked: SqlRequest, error: Exception) -> Say:
    """Set aside what can not be carried out by a fault of ours, so that the others go on."""
    try:
        async with conn.transaction():
            await _leave_word(conn, call, asked, error)
    except Exception as worse:
        if may_be_repeated(worse):
            raise

    def say() -> None:
        call.deps.on_event(EventName.JOB_PARKED, job_id=asked.job_id, error=repr(error))

    return say


async def _leave_word(conn: Connection, call: Call, asked: SqlRequest, error: Exception) -> None:
    """Say at the run or the job that was promised why there is no more of it."""
    if asked.verb == "trigger":
        await sql_requests.insert_unsent(
            conn, asked, name=None, reason="refused", now_ms=call.deps.now_ms()
        )
    elif asked.verb == "create":
        why = f"the service could not read what was asked for: {type(error).__name__}"
        await sql_create.say_why(conn, asked, why, now_ms=call.deps.now_ms())


def _nothing() -> None:
    """Say nothing."""
