"""What happens to every request, whatever its route: one list, outermost first.

Forwarded  behind trusted proxies, the caller's address and scheme in place of the proxy's
Frame      an id for the request, the headers of every answer, errors made problems, one record each
HostGuard  in development, only requests made to a loopback name are answered (DNS rebinding)
Cors       where origins are listed, their pages may read answers
"""

import re
from collections.abc import Awaitable
from functools import lru_cache
from ipaddress import ip_address
from time import perf_counter

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_svc.api import problems, tracing
from scheduler_svc.api.answer import Answer
from scheduler_svc.api.context import Access, Deps, Failure, Reply
from scheduler_svc.api.cors import Cors
from scheduler_svc.api.fields import FIELDS, Fields
from scheduler_svc.api.forwarded import Forwarded
from scheduler_svc.api.replies import send_reply
from scheduler_svc.domain import ids
from scheduler_svc.domain.errors import Refused
from scheduler_svc.store.pool import is_database_away

REQUEST_ID = "scheduler.request_id"
ROUTE = "scheduler.route"
TRACE = "scheduler.trace"
CLIENT_LEFT = 499
_KEPT_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PORT = re.compile(r":[0-9]{0,5}$")


def framed(app: ASGIApp, deps: Deps) -> ASGIApp:
    """Put the list around an application; what is not asked for is not there at all."""
    if deps.cors_origins:
        app = Cors(app, deps.cors_origins)
    if deps.loopback_only:
        app = HostGuard(app)
    app = Frame(app, deps)
    return Forwarded(app, deps.trusted_proxies) if deps.trusted_proxies else app


class Frame:
    """Gives each request its id, each answer its headers; makes problems of what was raised."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        self.app = app
        self.deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        scope[FIELDS] = headers = Fields(scope)
        scope[REQUEST_ID] = request_id = self._request_id(headers)
        trace = tracing.received(self.deps, headers)
        trace_id = tracing.id_of(trace)
        scope[TRACE] = trace
        answer = Answer(send, scope, request_id)
        with self.deps.naming(request_id, trace_id):
            try:
                await self.app(scope, receive, answer)
            except ClientDisconnect:
                answer.status = CLIENT_LEFT
            except Exception as error:
                reply = self._reply_to(error, scope)
                if answer.started:
                    raise
                await send_reply(reply, answer)
            finally:
                access = _access(scope, answer.status, perf_counter() - began, trace_id)
                self.deps.on_request(access)
                if self.deps.on_span is not None and trace is not None:
                    tracing.answered(self.deps, self.deps.on_span, trace, access)

    def _request_id(self, headers: Fields) -> str:
        given = headers.get("x-request-id")
        if given is not None and _KEPT_ID.fullmatch(given):
            return str(given)
        return ids.id_text(self.deps.now_ms(), self.deps.random_bytes(ids.RANDOM_BYTES))

    def _reply_to(self, error: Exception, scope: Scope) -> Reply:
        request_id = scope[REQUEST_ID]
        if isinstance(error, Refused):
            return problems.refusal(error, request_id)
        away = is_database_away(error)
        self.deps.on_failure(
            Failure(
                request_id=request_id,
                method=scope["method"],
                path=scope["path"],
                error=error,
                unavailable=away,
                trace_id=tracing.id_of(scope[TRACE]),
            )
        )
        return problems.unavailable(request_id) if away else problems.internal(request_id)


class HostGuard:
    """Answers only requests whose Host is a loopback name: for the development profile."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            hosts = scope[FIELDS].getlist("host")
            if not hosts or not all(map(is_loopback, hosts)):
                raise problems.Misdirected(
                    "The development profile answers only requests to localhost or a loopback"
                    " address; use http://127.0.0.1, or the production profile."
                )
        return self.app(scope, receive, send)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Tell whether a Host header names this machine: localhost, 127.0.0.0/8 or [::1]."""
    name = _PORT.sub("", host) if not host.endswith("]") else host
    if name.lower() == "localhost":
        return True
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        address = ip_address(name[1:-1] if bracketed else name)
    except ValueError:
        return False
    return address.is_loopback and bracketed == (address.version == 6)  # noqa: PLR2004


def _access(scope: Scope, status: int, seconds: float, trace_id: str | None) -> Access:
    peer = scope.get("client")
    return Access(
        request_id=scope[REQUEST_ID],
        method=scope["method"],
        path=scope["path"],
        route=scope.get(ROUTE),
        status=status,
        duration_ms=round(seconds * 1000, 3),
        peer=peer[0] if peer else None,
        trace_id=trace_id,
    )
