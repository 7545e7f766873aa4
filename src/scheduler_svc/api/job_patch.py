"""PATCH /jobs/{id}: a merge patch (RFC 7396) over what PUT accepts; null restores a default."""

from typing import Any

import msgspec

from scheduler_svc.api import audit, etag, handover, herd, identity, unsigned
from scheduler_svc.api.check_definition import Bench, read_definition
from scheduler_svc.api.check_templates import secret_names
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.job_change import lock_job
from scheduler_svc.api.job_compare import comparison, would_be
from scheduler_svc.api.job_edit import bench, edit
from scheduler_svc.api.job_view import job_view
from scheduler_svc.api.merge_patch import merge
from scheduler_svc.api.namespace_rules import rules_of
from scheduler_svc.api.route import (
    IF_MATCH,
    JSON,
    MERGE_PATCH,
    Answer,
    Body,
    Patch,
    QueryParam,
    Route,
)
from scheduler_svc.api.validate import unknown_names
from scheduler_svc.api.validate_json import parse
from scheduler_svc.api.wire_jobs import READ_ONLY, Job, JobComparison
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.secrecy import masked_target
from scheduler_svc.store.pool import transaction

_BELONGS = {"anchor": "every", "if_past": "at"}
"""What goes with a kind of schedule when a patch takes that kind away."""


async def patch_job(call: Call) -> Reply:
    """Change parts of a job; a patch that changes nothing keeps the revision."""
    changes = _read_patch(call.body)
    names = await secret_names(call)
    async with transaction(call.deps.pool) as conn:
        locked = await lock_job(conn, call, call.path["id"])
        etag.check(call.headers, etag.of(locked.job.revision))
        rules = await rules_of(conn, call)
        definition = _merged(call.body, changes, bench(call, locked, names, rules))
        if call.query["dry_run"]:
            after = would_be(locked.job, definition)
            return Reply(body=comparison(locked.job, after, now_ms=locked.now_ms))
        done = await edit(conn, locked, definition)
        await audit.note_job(conn, call, Action.JOB_UPDATED, locked.job, done.job)
        await identity.ensure(conn, call, definition)
        also = [*await herd.of_job(conn, done.job), *await unsigned.of_job(conn, call, done.job)]
    if done.changed:
        call.deps.on_event(EventName.JOB_UPDATED, job_id=done.job.id, namespace=call.namespace)
        await handover.given_up(call, done.job.id)
    return Reply(
        body=job_view(done.job, now_ms=locked.now_ms, also=also),
        headers={"ETag": etag.of(done.job.revision)},
    )


def _read_patch(raw: bytes) -> dict[str, Any]:
    """Return the patch as a document; raise Malformed, or Invalid for names that do not exist."""
    changes, faults = parse(raw)
    if not isinstance(changes, dict):
        raise Invalid([Fault("", "a merge patch must be an object")])
    faults += unknown_names(changes, Definition, read_only=READ_ONLY)
    if faults:
        raise Invalid(faults)
    return changes


def _merged(patch: bytes, changes: dict[str, Any], judged: Bench) -> Definition:
    if judged.stored is None:
        raise ValueError("there is nothing to patch")
    return read_definition(merge(_without_orphans(judged.stored, changes), patch), judged)


def _without_orphans(stored: Definition, changes: dict[str, Any]) -> bytes:
    """Write the stored definition without what belongs to a kind of schedule that is taken away.

    Its secrets are masks, as the client knows them, and a mask keeps what is stored.
    """
    schedule, given = stored.schedule, changes.get("schedule")
    if isinstance(given, dict):
        for orphan, kind in _BELONGS.items():
            if kind in given and given[kind] is None and orphan not in given:
                schedule = msgspec.structs.replace(schedule, **{orphan: msgspec.UNSET})
    target = masked_target(stored.target)
    return msgspec.json.encode(msgspec.structs.replace(stored, schedule=schedule, target=target))


ROUTES = (
    Route(
        method="PATCH",
        path="/jobs/{id}",
        handler=patch_job,
        operation_id="patch_job",
        summary="Change parts of a job",
        description=(
            "A merge patch (RFC 7396): null restores a default. Another kind of schedule needs the"
            " old kind set to null. Only a change of the schedule moves the next occurrence."
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
        headers=(IF_MATCH,),
        body=Body(
            type=Patch(of=Definition),
            media_types=(MERGE_PATCH, JSON),
            examples={"slower": {"schedule": {"every": "1m"}}, "plain": {"description": None}},
        ),
        answers={
            200: Answer(
                description="The job; or, with `dry_run`, a comparison.",
                type=(Job, JobComparison),
                headers={"ETag": "The job's revision."},
            )
        },
        problems=(404, 409, 412),
    ),
)
