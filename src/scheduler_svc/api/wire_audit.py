"""How an entry of the audit log looks from outside."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Raw, Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp
from scheduler_svc.domain.audit_chain import Sealed

Side = Annotated[
    dict[str, Any] | None,
    Meta(description="One side of the change, secrets masked; of a change what differs alone."),
]


class AuditActor(Struct, frozen=True, kw_only=True):
    """Who did it: by `id` the credential, the engine or a command; never what opens."""

    kind: str
    id: str
    name: str | None


class AuditResource(Struct, frozen=True, kw_only=True):
    """What it was done to."""

    kind: str
    id: str | None
    name: str | None


class AuditMany(Struct, frozen=True, kw_only=True):
    """What a bulk request changed: up to 200 ids, and a digest of the others'."""

    count: int
    ids: list[UUID]
    rest_sha256: str | None = None


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One change, in its place in the chain."""

    seq: int
    id: UUID
    at: Stamp
    namespace: Annotated[str, Meta(description="`*` for what belongs to none alone.")]
    actor: AuditActor
    address: str | None
    request_id: str | None
    action: str
    resource: AuditResource
    job_id: UUID | None
    before: Side
    after: Side
    many: AuditMany | None
    prev_hash: Annotated[str, Meta(description="The hash of the entry before, in hex.")]
    hash: Annotated[str, Meta(description="SHA-256 over this entry and the hash before it.")]


class AuditEntryList(Struct, frozen=True, kw_only=True):
    """A page of the audit log, newest first."""

    items: list[AuditEntry]
    next_cursor: NextCursor


def entry_view(one: Sealed) -> dict[str, Any]:
    """Write an entry for the answer; the sides of a change go out as they are stored."""
    entry = one.entry
    return {
        "seq": one.link.seq,
        "id": entry.id,
        "at": stamp(entry.at),
        "namespace": entry.namespace,
        "actor": AuditActor(kind=entry.actor_kind, id=entry.actor_id, name=entry.actor_name),
        "address": entry.address,
        "request_id": entry.request_id,
        "action": entry.action,
        "resource": AuditResource(
            kind=entry.resource_kind, id=entry.resource_id, name=entry.resource_name
        ),
        "job_id": entry.job_id,
        "before": _raw(entry.before),
        "after": _raw(entry.after),
        "many": _raw(entry.many),
        "prev_hash": one.prev_hash.hex(),
        "hash": one.link.hash.hex(),
    }


def _raw(text: str | None) -> Raw | None:
    return None if text is None else Raw(text.encode())
