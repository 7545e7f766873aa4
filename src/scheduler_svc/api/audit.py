"""Who did what: one entry for each change by a request, in the transaction of the change.

Handlers say it in a line, `note` or one of its kin, before their transaction ends: what is refused
leaves nothing, a change that is made leaves its entry. Which operation leaves which is in
`audit_table`. Secrets are masked here, before anything is written.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec import json, structs

from scheduler_svc.api.context import Call
from scheduler_svc.domain.access import Caller
from scheduler_svc.domain.audit import (
    Action,
    Actor,
    Draft,
    Resource,
    ResourceKind,
    kind_of_actor,
    many_of,
)
from scheduler_svc.domain.audit_change import (
    Document,
    difference,
    job_document,
    job_resource,
    text_of,
)
from scheduler_svc.domain.jobs import Job
from scheduler_svc.domain.namespaces import Namespace
from scheduler_svc.domain.pressure import Key, KeyState
from scheduler_svc.domain.runs import Overrides, Run
from scheduler_svc.domain.secrecy import MASK, change_headers
from scheduler_svc.store import audit
from scheduler_svc.store.api_keys import ApiKey
from scheduler_svc.store.pool import Connection


async def note(
    conn: Connection,
    call: Call,
    action: Action,
    resource: Resource,
    *,
    namespace: str | None = None,
    before: Any = None,
    after: Any = None,
    many: str | None = None,
) -> None:
    """Write the entry of a change; `before` and `after` are structs or documents without secrets.

    Of two sides only what differs is kept; where nothing does, nothing was changed.
    """
    was, now = document_of(before), document_of(after)
    if was is not None and now is not None:
        was, now = difference(was, now)
        if not now:
            return
    draft = Draft(
        namespace=call.namespace if namespace is None else namespace,
        actor=actor_of(call.caller),
        action=action,
        resource=resource,
        address=call.peer,
        request_id=call.request_id,
        before=text_of(was),
        after=text_of(now),
        many=many,
    )
    await audit.insert(conn, draft)


async def note_job(
    conn: Connection, call: Call, action: Action, before: Job | None, after: Job | None
) -> None:
    """Write the entry of a job that was made, changed or deleted; nothing where it is the same."""
    job = after or before
    if job is None or before is after:
        return
    await note(
        conn,
        call,
        action,
        job_resource(job),
        before=None if before is None else job_document(before),
        after=None if after is None else job_document(after, before),
    )


async def note_triggered(
    conn: Connection, call: Call, job: Job, run: Run, overrides: Overrides | None
) -> None:
    """Write the entry of a trigger, with what it had overridden."""
    after: Document = {"run": str(run.id)}
    if overrides is not None and overrides.headers is not None:
        after["headers"] = change_headers(overrides.headers, lambda _where, _value: MASK)
    if overrides is not None and overrides.body is not None:
        after["body"] = json.decode(overrides.body)
    await note(conn, call, Action.JOB_TRIGGERED, job_resource(job), after=after)


async def note_report(conn: Connection, call: Call, run: Run, report: Any) -> None:
    """Write the entry of a run's end as its target reports it."""
    draft = Draft(
        namespace=run.namespace,
        actor=Actor(kind="target", id=f"run:{run.id}:{run.attempt_count}", name=run.job_name),
        action=Action.RUN_COMPLETED,
        resource=Resource(kind="run", id=str(run.id), job_id=run.job_id),
        address=call.peer,
        request_id=call.request_id,
        after=text_of(document_of(report)),
    )
    await audit.insert(conn, draft)


async def note_limits(
    conn: Connection, call: Call, key: Key, before: KeyState | None, after: Any
) -> None:
    """Write the entry of a concurrency key that got limits, others or none."""
    known = before is not None and before.configured
    was = None if before is None or not known else before.ceiling
    action = Action.CONCURRENCY_KEY_UPDATED if after else Action.CONCURRENCY_KEY_DELETED
    await note(
        conn, call, action, Resource(kind="concurrency_key", id=key.name), before=was, after=after
    )


async def note_namespace(
    conn: Connection, call: Call, name: str, before: Namespace | None, after: Any
) -> None:
    """Write the entry of a namespace's settings; it is that namespace's to read."""
    await note(
        conn,
        call,
        Action.NAMESPACE_UPDATED,
        Resource(kind="namespace", id=name),
        namespace=name,
        before=None if before is None else json.decode(before.settings),
        after=after,
    )


async def note_key(conn: Connection, call: Call, made: ApiKey, old: ApiKey | None = None) -> None:
    """Write the entry of a key that was made, or that another takes the place of."""
    action = Action.API_KEY_ROTATED if old else Action.API_KEY_CREATED
    await audit.insert(conn, _by(call, key_draft(actor_of(call.caller), action, made, old)))


async def note_revoked(conn: Connection, call: Call, key: ApiKey) -> None:
    """Write the entry of a key that opens nothing any more."""
    await audit.insert(
        conn, _by(call, key_draft(actor_of(call.caller), Action.API_KEY_REVOKED, None, key))
    )


async def note_signing(
    conn: Connection, call: Call, action: Action, secret_id: UUID, after: Any
) -> None:
    """Write the entry of a secret that signs: how it is shown, or nothing once it is gone."""
    resource = Resource(kind="signing_secret", id=str(secret_id))
    await note(conn, call, action, resource, after=after)


def key_draft(actor: Actor, action: Action, made: ApiKey | None, old: ApiKey | None) -> Draft:
    """Write what became of a key; the command line does too, and has no request."""
    key = old or made
    if key is None:
        raise ValueError("an entry about no key")
    return Draft(
        namespace=key.namespace,
        actor=actor,
        action=action,
        resource=Resource(kind="api_key", id=str(key.id), name=key.name),
        before=text_of(_key_document(old)),
        after=text_of(_key_document(made)),
    )


def _key_document(key: ApiKey | None) -> Document | None:
    """Write a key without what opens, and without what merely notes its use."""
    if key is None:
        return None
    document = document_of(key) or {}
    return {name: value for name, value in document.items() if name != "last_used_at"}


def _by(call: Call, draft: Draft) -> Draft:
    return structs.replace(draft, address=call.peer, request_id=call.request_id)


async def note_jobs(
    conn: Connection, call: Call, action: Action, ids: Sequence[UUID], **sides: Any
) -> None:
    """Write one entry for many jobs; nothing where there are none."""
    if ids:
        await note(conn, call, action, Resource(kind="jobs"), many=many_of(list(ids)), **sides)


def actor_of(caller: Caller) -> Actor:
    """Return who a caller is: its credential's id and name, and never what opens."""
    return Actor(kind=kind_of_actor(caller.id), id=caller.id or "anyone", name=caller.name)


def part_of_job(kind: ResourceKind, part: UUID, job_id: UUID | None) -> Resource:
    """Name what belongs to a job, or to several: a run, a backfill."""
    return Resource(kind=kind, id=str(part), job_id=job_id)


def document_of(side: Any) -> Document | None:
    """Return one side of a change as members; None where there is none."""
    if side is None or isinstance(side, dict):
        return side
    document: Document = json.decode(json.encode(side))
    return document
