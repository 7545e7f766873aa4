"""GET /audit: who changed what, newest first, page by page.

Shows what is sealed: an entry is there within about a second of its change. A caller of one
namespace sees that one's entries alone; one of all sees all, or those of the one it names.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from msgspec import Meta

from scheduler_svc.api import cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.endpoint import NAMESPACE
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, QueryParam, Route
from scheduler_svc.api.wire_audit import AuditEntryList, entry_view
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.audit import Action, ResourceKind
from scheduler_svc.domain.ids import EPOCH, epoch_ms, instant_at
from scheduler_svc.domain.occurrences import HORIZON
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.store.audit_lists import AuditFilter, AuditPlace, list_audit, place_of
from scheduler_svc.store.pool import connection

Text = Annotated[str, Meta(max_length=512)]


async def list_entries(call: Call) -> Reply:
    """List entries of the audit log."""
    query = call.query
    wanted = AuditFilter(
        namespace=_seen(call),
        since=_bound(query["since"], EPOCH),
        until=_bound(query["until"], instant_at(HORIZON)),
        action=query["action"],
        actor=query["actor"],
        resource=query["resource"],
        resource_id=query["resource_id"],
        job=query["job"],
        request_id=query["request_id"],
    )
    binding: list[Any] = ["audit", wanted]
    after = None if query["cursor"] is None else cursor.read(query["cursor"], binding, AuditPlace)
    async with connection(call.deps.pool) as conn:
        found = await list_audit(conn, wanted, after=after, at_most=query["limit"] + 1)
    page = found[: query["limit"]]
    following = cursor.write(place_of(page[-1]), binding) if len(found) > len(page) else None
    return Reply(
        body={"items": [entry_view(one) for one in page], "next_cursor": following},
        headers=next_link(call, following),
    )


def _seen(call: Call) -> str:
    """Return whose entries are meant: a caller of all namespaces may name one."""
    everything = call.caller.namespace == EVERY and NAMESPACE not in call.headers
    return EVERY if everything else call.namespace


def _bound(given: datetime | None, default: datetime) -> datetime:
    if given is None:
        return default
    return instant_at(min(max(epoch_ms(given), 0), HORIZON))


ROUTES = (
    Route(
        method="GET",
        path="/audit",
        handler=list_entries,
        operation_id="list_audit",
        summary="List who changed what",
        description=(
            "Every change by a request, a command or the service itself, within about a second of"
            " it. Entries are only added, each with a hash over itself and the one before."
        ),
        tag="audit",
        params=(
            LIMIT,
            CURSOR,
            QueryParam(
                name="action",
                type=Literal[tuple(str(action) for action in Action)],
                description="Only this action.",
            ),
            QueryParam(
                name="actor",
                type=Text,
                description="Only by this actor, by its `id`.",
                example="bootstrap",
            ),
            QueryParam(
                name="resource",
                type=Literal[get_args(ResourceKind)],
                description="Only of resources of this kind.",
            ),
            QueryParam(
                name="resource_id", type=Text, description="Only of the resource of this id."
            ),
            QueryParam(
                name="job", type=UUID, description="Only of this job, its runs and its backfills."
            ),
            QueryParam(name="request_id", type=Text, description="Only of this request."),
            QueryParam(name="since", type=Instant, description="Only at or after this."),
            QueryParam(name="until", type=Instant, description="Only before this."),
        ),
        answers={
            200: Answer(
                description="A page of entries, newest first.",
                type=AuditEntryList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
)
