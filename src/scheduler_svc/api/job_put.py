"""PUT /jobs/{name}: create or replace a job by its name; by an id only replace."""

from uuid import UUID

from msgspec import structs

from scheduler_svc.api import (
    audit,
    etag,
    handover,
    herd,
    identity,
    job_create,
    job_quota,
    unsigned,
)
from scheduler_svc.api.check_definition import read_definition
from scheduler_svc.api.check_templates import secret_names
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_change import LockedJob, lock_job
from scheduler_svc.api.job_compare import comparison, would_be
from scheduler_svc.api.job_edit import bench, edit
from scheduler_svc.api.job_examples import EXAMPLES
from scheduler_svc.api.job_find import is_name, no_job
from scheduler_svc.api.job_view import put_view
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import (
    IF_MATCH,
    IF_NONE_MATCH,
    Answer,
    Body,
    QueryParam,
    Route,
)
from scheduler_svc.api.wire_jobs import JobComparison, JobPut
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Fault, Invalid, NameTaken, NotFound
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import looks_like_id
from scheduler_svc.domain.jobs import NAME_PATTERN, Definition
from scheduler_svc.store.pool import Connection, transaction


async def put_job(call: Call) -> Reply:
    """Create or replace; a name that another request takes meanwhile is replaced after all."""
    try:
        return await _put(call)
    except NameTaken:
        if looks_like_id(call.path["id"]):
            raise
    return await _put(call)


async def _put(call: Call) -> Reply:
    key = call.path["id"]
    names = await secret_names(call)
    async with transaction(call.deps.pool) as conn:
        try:
            locked = await lock_job(conn, call, key)
        except NotFound:
            locked = None
        if locked is None:
            reply, touched = await _create(conn, call, key, names)
        else:
            reply, touched = await _replace(conn, call, locked, names)
    if touched is not None:
        event = EventName.JOB_CREATED if locked is None else EventName.JOB_UPDATED
        call.deps.on_event(event, job_id=touched, namespace=call.namespace)
        await handover.given_up(call, touched)
    return reply


async def _create(
    conn: Connection, call: Call, name: str, names: frozenset[str]
) -> tuple[Reply, UUID | None]:
    """Create a job; with the answer goes its id, or None where nothing was written."""
    if looks_like_id(name):
        raise no_job(name)
    if not is_name(name):
        raise Invalid([Fault("", f"is no name: it must match {NAME_PATTERN}", parameter="id")])
    etag.check(call.headers, None)
    now_ms = call.deps.now_ms()
    rules = await rules_of(conn, call)
    new = job_create.draft(call, now_ms, names, rules)
    new = structs.replace(new, definition=_named(new.definition, name))
    if call.query["dry_run"]:
        await job_quota.check_room(conn, call, rules.quotas, None, lock=False)
        shown = job_create.armed(new, now_ms)[0]
        return Reply(body=comparison(None, shown, now_ms=now_ms)), None
    made = job_create.make(call, new, now_ms)
    job = await job_create.insert(conn, call, made, now_ms, rules.quotas)
    await identity.ensure(conn, call, job.definition)
    also = [*await herd.of_job(conn, job), *await unsigned.of_job(conn, call, job)]
    reply = Reply(
        status=201,
        body=put_view(job, now_ms=now_ms, changed=True, also=also),
        headers={"Location": f"/jobs/{job.id}", "ETag": etag.of(job.revision)},
    )
    return reply, job.id


async def _replace(
    conn: Connection, call: Call, locked: LockedJob, names: frozenset[str]
) -> tuple[Reply, UUID | None]:
    """Replace a job; with the answer goes its id, or None where nothing was changed."""
    etag.check(call.headers, etag.of(locked.job.revision))
    rules = await rules_of(conn, call)
    definition = read_definition(call.body, bench(call, locked, names, rules))
    if not looks_like_id(call.path["id"]):
        definition = _named(definition, call.path["id"])
    if call.query["dry_run"]:
        after = would_be(locked.job, definition)
        return Reply(body=comparison(locked.job, after, now_ms=locked.now_ms)), None
    done = await edit(conn, locked, definition)
    await audit.note_job(conn, call, Action.JOB_UPDATED, locked.job, done.job)
    await identity.ensure(conn, call, definition)
    also = [*await herd.of_job(conn, done.job), *await unsigned.of_job(conn, call, done.job)]
    reply = Reply(
        body=put_view(done.job, now_ms=locked.now_ms, changed=done.changed, also=also),
        headers={"ETag": etag.of(done.job.revision)},
    )
    return reply, done.job.id if done.changed else None


def _named(definition: Definition, name: str) -> Definition:
    """Give a definition the name of the path; raise Invalid where it has another."""
    if definition.name not in {None, name}:
        detail = f"differs from the name in the path, '{name}'; leave it out, or address the id"
        raise Invalid([Fault("/name", detail)])
    return structs.replace(definition, name=name)


ROUTES = (
    Route(
        method="PUT",
        path="/jobs/{id}",
        handler=put_job,
        operation_id="put_job",
        summary="Create or replace a job",
        description=(
            "By name it creates or replaces; by id it replaces, and may rename."
            " A paused job stays paused. `If-None-Match: *` only creates."
        ),
        tag="jobs",
        params=(
            QueryParam(
                name="dry_run",
                type=bool,
                default=False,
                description="Show the next 20 occurrences before and after, without saving.",
            ),
        ),
        headers=(IF_MATCH, IF_NONE_MATCH),
        body=Body(type=Definition, examples=EXAMPLES),
        answers={
            200: Answer(
                description="The job, replaced or as it was; or, with `dry_run`, a comparison.",
                type=(JobPut, JobComparison),
                headers={"ETag": "The job's revision."},
            ),
            201: Answer(
                description="The job, created.",
                type=JobPut,
                headers={"Location": "The job's path.", "ETag": "The job's revision."},
            ),
        },
        problems=(404, 409, 412),
    ),
)
