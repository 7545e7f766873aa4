"""The dashboard's way to the API: the application itself, asked in process.

Promises that a page is answered as its caller would be: same credentials, namespace, scopes and
limits. What pages ask is no request of its own in the log and in the metrics; what fails in it is.
"""

from urllib.parse import unquote

import msgspec
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Access, Deps
from scheduler_svc.api.middleware import REQUEST_ID
from scheduler_svc.web.lent import Answered, Ask, Lent
from scheduler_svc.web.pages import pages

NAMESPACE = b"scheduler-namespace"
KEPT = frozenset({b"authorization", b"cookie", b"host", NAMESPACE})


def pages_of(deps: Deps) -> list[Route]:
    """Return the routes of the dashboard over an API with these parts."""
    inner = msgspec.structs.replace(
        deps,
        on_request=_untold,
        on_span=None,
        trusted_proxies=(),  # the outer request was judged by them already
        cors_origins=(),
    )
    ask = asking(build_app(inner))
    return pages(Lent(ask=ask, pool=deps.pool, now_ms=deps.now_ms, version=deps.version))


def asking(app: ASGIApp) -> Ask:
    """Return what asks an application, as the caller of another request."""

    async def ask(scope: Scope, path: str, query: str, namespace: str | None) -> Answered:
        began: list[Message] = []
        parts: list[bytes] = []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                began.append(message)
            else:
                parts.append(message.get("body", b""))

        await app(_inner(scope, path, query, namespace), _nothing, send)
        told = {
            name.decode("latin-1"): text.decode("latin-1") for name, text in began[0]["headers"]
        }
        is_json = "json" in told.get("content-type", "")
        body = msgspec.json.decode(b"".join(parts)) if is_json else None
        return Answered(began[0]["status"], body, told)

    return ask


def _inner(scope: Scope, path: str, query: str, namespace: str | None) -> Scope:
    """Make the request that is asked of the one that is answered."""
    headers = [(name, text) for name, text in scope["headers"] if name in KEPT]
    if (request_id := scope.get(REQUEST_ID)) is not None:
        headers.append((b"x-request-id", request_id.encode()))
    if namespace is not None and not any(name == NAMESPACE for name, _ in headers):
        headers.append((NAMESPACE, namespace.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": scope["scheme"],
        "path": unquote(path),
        "raw_path": path.encode("ascii"),
        "root_path": "",
        "query_string": query.encode("ascii"),
        "headers": headers,
        "client": scope.get("client"),
        "server": scope.get("server"),
    }


async def _nothing() -> Message:
    """Send no body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _untold(_access: Access) -> None:
    """Tell nobody."""
