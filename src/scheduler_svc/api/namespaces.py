"""GET /namespaces and GET /namespaces/{name}: which namespaces have settings, and what they say."""

from scheduler_svc.api import cursor, etag
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.namespace_usage import usage_of
from scheduler_svc.api.route import Answer, HeaderParam, Route
from scheduler_svc.api.wire_namespaces import Namespace, NamespaceList, namespace_view
from scheduler_svc.domain.access import EVERY
from scheduler_svc.domain.errors import NotFound
from scheduler_svc.domain.quotas import quotas_of
from scheduler_svc.store.namespaces import get_namespace, list_namespaces
from scheduler_svc.store.pool import connection

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
    page = found[:limit]
    following = cursor.write(page[-1].name, BINDING) if len(found) > len(page) else None
    return Reply(
        body=NamespaceList(items=[namespace_view(one) for one in page], next_cursor=following),
        headers=next_link(call, following),
    )


async def get_one(call: Call) -> Reply:
    """Return a namespace."""
    name = call.path["name"]
    if not call.caller.sees(name):
        raise NotFound(f"The namespace '{name[:128]}' has no settings that this key may see.")
    async with connection(call.deps.pool) as conn:
        found = await get_namespace(conn, name)
        if found is None:
            raise NotFound(f"The namespace '{name[:128]}' has no settings; PUT gives it some.")
        tag = etag.of(found.revision)
        if etag.not_modified(call.headers, tag):
            return Reply(status=304, headers={"ETag": tag})
        usage = await usage_of(
            conn, name, quotas_of(found.settings, call.deps.quotas), now_ms=call.deps.now_ms()
        )
    return Reply(body=namespace_view(found, usage), headers={"ETag": tag})


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
