"""POST /jobs/apply: make the jobs of a namespace what a file says, all of it or nothing.

Promises that a job which is as it shall be is not written to, nor locked; that a job which nobody
named is deleted only where its owner asks for it; and that a plan is carried out as it was shown.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec
from msgspec import Raw, Struct

from scheduler_svc.api import apply_view, handover
from scheduler_svc.api.apply_read import Found, Item, Judge, items_of, plan_of
from scheduler_svc.api.apply_write import Overtaken, Written, write_all
from scheduler_svc.api.check_templates import secret_names
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.idempotency import keep, writing
from scheduler_svc.api.job_examples import EXAMPLES
from scheduler_svc.api.job_quota import full, room_of
from scheduler_svc.api.jobs_bulk import FAULTS_MAX, SECONDS, uncollected
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import BULK_BODY_MAX, Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_apply import Applied, ApplyRequest, Owner, Plan
from scheduler_svc.api.wire_bulk import JOBS_MAX
from scheduler_svc.domain.errors import Conflict, Fault, Invalid, PreconditionFailed
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.ownership import OWNER_LABEL, OWNER_PATTERN
from scheduler_svc.store import apply, bulk
from scheduler_svc.store.pool import Connection, connection

DELETED_MAX = 10_000
_OWNER = re.compile(OWNER_PATTERN.removesuffix("$"))


class _Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The request, with its jobs unread."""

    jobs: list[Raw]
    owner: Owner | None = None
    prune: bool = False
    take_over: bool = False
    dry_run: bool = False
    plan: Plan | None = None


class _Looked(Struct, frozen=True):
    """What is to be done, and the word for it."""

    found: Found
    plan: str
    judge: Judge


async def apply_jobs(call: Call) -> Reply:
    """Make jobs what the request says; with `dry_run` only say what that would change."""
    asked = _read(call.body)
    items = await items_of(asked.jobs, asked.owner)
    if asked.dry_run:
        with uncollected():
            looked = await _look(call, asked, items)
            async with connection(call.deps.pool) as conn:
                await _refuse_full(conn, call, looked.found, lock=False)
            body = await apply_view.planned(looked.found, looked.plan, looked.judge.reader.now_ms)
        return Reply(body=body)
    try:
        return await _apply(call, asked, items)
    except Overtaken:
        return await _apply(call, asked, items)  # a plan does not hold any more, the rest may


async def _apply(call: Call, asked: _Asked, items: Sequence[Item]) -> Reply:
    """Judge, then write: no transaction stands open while jobs are judged, for that may take long.

    Raises Overtaken where a job is another by then.
    """
    with uncollected():
        looked = await _look(call, asked, items)
        async with writing(call, seconds=SECONDS) as conn:
            written = await _write(conn, call, asked, looked)
            body = apply_view.applied(looked.found, looked.plan, written.ids)
            reply = await keep(conn, call, Reply(body=body))
    done = body.created + body.changed + body.deleted
    if done:
        matched = done + body.unchanged
        call.deps.on_event(EventName.BULK_DONE, action="apply", matched=matched, done=done)
    await handover.all_given_up(call, written.held)
    return reply


def _read(raw: bytes) -> _Asked:
    """Part the body into its jobs, unread; raise Malformed, or Invalid."""
    try:
        asked = msgspec.json.decode(raw, type=_Asked)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        asked = decode(raw, _Asked)
    if asked.owner is not None and not _OWNER.fullmatch(asked.owner):
        asked = decode(raw, _Asked)  # a line's end after it passes for the end: this tells
    count = len(asked.jobs)
    if count > JOBS_MAX:
        raise Invalid([Fault("/jobs", f"has {count} items; at most {JOBS_MAX} are allowed")])
    if asked.prune and asked.owner is None:
        raise Invalid([Fault("/owner", "is required with prune: only its jobs are deleted")])
    return asked


async def _look(call: Call, asked: _Asked, items: Sequence[Item]) -> _Looked:
    """Find out what is to be done; raise whatever stands against it."""
    secrets = await secret_names(call)
    names = [item.name for item in items if item.name is not None and "\0" not in item.name]
    deleted: list[Job] = []
    async with connection(call.deps.pool, seconds=SECONDS) as conn:
        rules = await rules_of(conn, call)
        stored = await apply.named(conn, call.namespace, names)
        if asked.prune and asked.owner is not None:
            label = {OWNER_LABEL: asked.owner}
            deleted = await apply.labelled(
                conn, call.namespace, label, besides=names, at_most=DELETED_MAX + 1
            )
    judge = Judge(call, secrets, rules, take_over=asked.take_over)
    found = await judge.look(items, stored)
    found.deleted = deleted
    plan = plan_of(items, stored, deleted)
    _refuse(asked, found, plan)
    return _Looked(found, plan, judge)


def _refuse(asked: _Asked, found: Found, plan: str) -> None:
    """Raise Invalid, Conflict or PreconditionFailed where the request can not be done."""
    if found.faults:
        faults = list(_faults(found))
        refused = Invalid(faults[:FAULTS_MAX])
        more = f"; the first {FAULTS_MAX} are listed" if len(faults) > FAULTS_MAX else ""
        refused.detail = (
            f"Nothing was done: {len(found.faults)} of the jobs have {len(faults)} faults{more}."
        )
        raise refused
    if len(found.deleted) > DELETED_MAX:
        detail = f"would delete more than {DELETED_MAX:,} jobs; use bulk actions for that"
        raise Invalid([Fault("/prune", detail)])
    if others := found.kept_by_others:
        detail = f"Nothing was done: {len(others)} of the jobs are kept by another owner."
        raise Conflict(detail, tuple(others[:FAULTS_MAX]))
    if asked.plan is not None and asked.plan != plan:
        raise PreconditionFailed(
            "Nothing was done: some of these jobs changed since the plan was made; plan again."
        )


def _faults(found: Found) -> Iterator[Fault]:
    for index, faults in sorted(found.faults.items()):
        for fault in faults:
            yield fault._replace(pointer=f"/jobs/{index}{fault.pointer}")


async def _refuse_full(conn: Connection, call: Call, found: Found, *, lock: bool) -> None:
    """Raise QuotaExceeded where more jobs are new than there is room for."""
    quotas = (await rules_of(conn, call)).quotas
    room = await room_of(conn, call.namespace, quotas, lock=lock)
    if room is None or len(found.drafts) <= room + len(found.deleted):
        return
    first = found.drafts[room + len(found.deleted)].index
    raise full(call.namespace, quotas, f"/jobs/{first}")


async def _write(conn: Connection, call: Call, asked: _Asked, looked: _Looked) -> Written:
    """Write what is to be done, and nothing where that is nothing."""
    found = looked.found
    if not (found.drafts or found.changes or found.deleted):
        return Written({}, [])
    await bulk.lock_namespace(conn, call.namespace)
    await _refuse_full(conn, call, found, lock=True)
    return await write_all(conn, call, found, looked.judge.reader, owner=asked.owner)


ROUTES = (
    Route(
        method="POST",
        path="/jobs/apply",
        handler=apply_jobs,
        operation_id="apply_jobs",
        summary="Make jobs what a file says",
        description=(
            f"Up to {JOBS_MAX:,} jobs by name in one request of at most 32 MiB: those that are"
            " missing are created, those that differ changed, as `PUT /jobs/{name}` would, the"
            " others left alone and not written to; all or nothing. With `prune` jobs of the owner"
            " that are not named are deleted. `dry_run` answers what would be done, and a `plan`:"
            " sent back with the request itself, it is carried out only where nothing has changed."
        ),
        tag="jobs",
        body=Body(
            type=ApplyRequest,
            length_max=BULK_BODY_MAX,
            examples={
                "plan": {
                    "owner": "team-billing",
                    "dry_run": True,
                    "jobs": [EXAMPLES["cron"]],
                }
            },
        ),
        answers={
            200: Answer(description="What was done; with `dry_run` what would be.", type=Applied)
        },
        problems=(409, 412),
        idempotent=True,
    ),
)
