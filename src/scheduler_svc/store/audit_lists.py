"""The audit log as it is listed: the statement whose index narrows most leads, the rest filters."""

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.audit_chain import Sealed
from scheduler_svc.store.audit import sealed_of
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class AuditFilter(Struct, frozen=True, kw_only=True):
    """Which entries: every condition that is given must hold; `*` is every namespace."""

    namespace: str
    since: datetime
    until: datetime
    action: str | None = None
    actor: str | None = None
    resource: str | None = None
    resource_id: str | None = None
    job: UUID | None = None
    request_id: str | None = None


class AuditPlace(Struct, frozen=True):
    """A row of the list."""

    at: datetime
    seq: int


async def list_audit(
    conn: Connection, wanted: AuditFilter, *, after: AuditPlace | None, at_most: int
) -> list[Sealed]:
    """Return a page, newest first."""
    place = after or AuditPlace(wanted.until, 0)
    rows = await conn.fetch(
        statement(_leading(wanted)),
        wanted.namespace,
        wanted.action,
        wanted.actor,
        wanted.resource,
        wanted.resource_id,
        wanted.job,
        wanted.request_id,
        wanted.since,
        wanted.until,
        place.at,
        place.seq,
        at_most,
    )
    return [sealed_of(row) for row in rows]


def place_of(one: Sealed) -> AuditPlace:
    """Return where an entry stands in the list."""
    return AuditPlace(one.entry.at, one.link.seq)


def _leading(wanted: AuditFilter) -> str:
    """Name the statement that reads the least."""
    if wanted.request_id is not None:
        return "list_audit_by_request"
    if wanted.job is not None:
        return "list_audit_by_job"
    if wanted.resource_id is not None:
        return "list_audit_by_resource"
    if wanted.actor is not None:
        return "list_audit_by_actor"
    if wanted.action is not None:
        return "list_audit_by_action"
    return "list_audit_by_all" if wanted.namespace == EVERY else "list_audit_by_namespace"
