"""GET /namespaces and GET /namespaces/{name}: which have settings, what they say, what is held."""

from scheduler_svc.api import cursor, etag
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.namespace_usage import usage_of
from scheduler_svc.api.route import Answer, HeaderParam, Route
from scheduler_svc.api.wire_namespaces import (
    Namespace,
    NamespaceList,
    held_view,
    namespace_view,
)
from scheduler_svc.domain import namespaces as stored
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.holds import Hold
from scheduler_svc.domain.quotas import Quotas, quotas_of
from scheduler_svc.store import holds
from scheduler_svc.store.namespaces import get_namespace, list_namespaces
from scheduler_svc.store.pool import Connection, connection

TAG = {"ETag": "The namespace's revision."}
BINDING = ["namespaces"]


async def list_all(call: Call) -> Reply:
    """List the namespaces that have settings, by name."""
    given, limit = call.query["cursor"], call.query["limit"]
    after = "" if given is None else cursor.read(given, BINDING, str)
    async with connection(call.deps.pool) as conn:
        if call.caller.namespace == EVERY:
            found = await list_namespaces(conn, after=after, at_most=limit + 1)
        else:
            own = await get_namespace(conn, call.caller.namespace)
            found = [] if own is None or own.name <= after else [own]
        held = await holds.all_holds(conn) if found else {}
    page = found[:limit]
    following = cursor.write(page[-1].name, BINDING) if len(found) > len(page) else None
    return Reply(
        body=NamespaceList(items=[_listed(one, held) for one in page], next_cursor=following),
        headers=next_link(call, following),
    )


def _listed(found: stored.Namespace, held: dict[str, Hold]) -> Namespace:
    hold = held.get(found.name)
    return namespace_view(found, None if hold is None else held_view(hold))


async def get_one(call: Call) -> Reply:
    """Return a namespace."""
    name = seen_namespace(call)
    async with connection(call.deps.pool) as conn:
        body = await shown(conn, name, now_ms=call.deps.now_ms(), defaults=call.deps.quotas)
    tag = etag.of(body.revision)
    if body.held is None and etag.not_modified(call.headers, tag):
        return Reply(status=304, headers={"ETag": tag})
    return Reply(body=body, headers={"ETag": tag})


def seen_namespace(call: Call) -> str:
    """Return the name in the path; raise NotFound where the caller may not see it."""
    name = call.path["name"]
    if not call.caller.sees(name):
        raise NotFound(f"The namespace '{name[:128]}' has no settings that this key may see.")
    return name


async def shown(
    conn: Connection, name: str, *, now_ms: int, defaults: Quotas | None = None
) -> Namespace:
    """Read a namespace as it is shown, with what waits where it is held; raise NotFound.

    With the operator's quotas also what it uses of those in force.
    """
    found = await get_namespace(conn, name)
    hold = await holds.get_hold(conn, name)
    usage = None
    if found is not None and defaults is not None:
        usage = await usage_of(conn, name, quotas_of(found.settings, defaults), now_ms=now_ms)
    if hold is not None:
        missed = await holds.missed_of(conn, name, now_ms=now_ms)
        return namespace_view(found or _bare(hold), held_view(hold, missed), usage)
    if found is None:
        raise NotFound(f"The namespace '{name[:128]}' has no settings; PUT gives it some.")
    return namespace_view(found, usage=usage)


def _bare(hold: Hold) -> stored.Namespace:
    """Show a namespace that has no settings, because it is held."""
    return stored.Namespace(
        name=hold.namespace,
        settings="{}",
        revision=0,
        created_at=hold.since,
        updated_at=hold.since,
    )


ROUTES = (
    Route(
        method="GET",
        path="/namespaces",
        handler=list_all,
        operation_id="list_namespaces",
        summary="List the namespaces that have settings",
        tag="namespaces",
        params=(LIMIT, CURSOR),
        answers={
            200: Answer(
                description="A page of namespaces, by name.",
                type=NamespaceList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
    Route(
        method="GET",
        path="/namespaces/{name}",
        handler=get_one,
        operation_id="get_namespace",
        summary="Read a namespace's settings and usage",
        tag="namespaces",
        headers=(
            HeaderParam(
                name="If-None-Match",
                description="Only where the namespace has none of these ETags.",
            ),
        ),
        answers={
            200: Answer(description="The namespace.", type=Namespace, headers=TAG),
            304: Answer(description="The namespace still has that ETag.", headers=TAG),
        },
        problems=(404,),
    ),
)
