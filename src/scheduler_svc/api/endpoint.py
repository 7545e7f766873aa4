"""The way of one request through its route: query, body, handler, reply.

Promises handlers a body no longer than the route takes and of a type it takes. Judges nothing that
is in the body: that is the handler's, by `validate`.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from functools import partial

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from scheduler_svc.api import query, same_origin, standby_reads
from scheduler_svc.api.answer import TOLD
from scheduler_svc.api.context import Call, Deps, Gatekeeper, Meter, stays
from scheduler_svc.api.cookie import token_of
from scheduler_svc.api.fields import FIELDS
from scheduler_svc.api.limits import address_of
from scheduler_svc.api.middleware import REQUEST_ID, ROUTE, TRACE
from scheduler_svc.api.problems import TooLarge, UnsupportedMediaType
from scheduler_svc.api.replies import send_reply, send_stream
from scheduler_svc.api.route import FORM, JSON, Body, Route
from scheduler_svc.domain.access import ANYONE, EVERY, NAMESPACE_PATTERN, Caller
from scheduler_svc.domain.errors import (
    Fault,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    RateLimited,
    Unauthenticated,
)
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.limits import Budget

BODY_SECONDS = 30.0
NAMESPACE = "Scheduler-Namespace"
_NAMESPACE = re.compile(NAMESPACE_PATTERN.removesuffix("$"))


class Endpoint:
    """All operations of one path."""

    def __init__(self, routes: Sequence[Route], deps: Deps) -> None:
        self.by_method = {route.method: route for route in routes}
        if "GET" in self.by_method:
            self.by_method["HEAD"] = self.by_method["GET"]
        self.methods = frozenset(self.by_method)
        self.deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self.by_method[scope["method"]]
        scope[ROUTE] = route.path
        call = await read_call(route, self.deps, scope, receive)
        reply = await standby_reads.answered(route, call)
        if reply.stream is None:
            await send_reply(reply, send)
        else:
            await send_stream(reply, scope, receive, send)


async def read_call(route: Route, deps: Deps, scope: Scope, receive: Receive) -> Call:
    """Make a request a value; raise Refused where the route does not take it."""
    headers = scope[FIELDS]
    peer, session = _peer(scope), _session(headers, scope)
    caller = await _admitted(route, deps, headers, scope, session)
    path = scope["path_params"]
    if "\0" in scope["path"]:
        raise NotFound("There is nothing of that name.")
    values = query.read(scope["query_string"], route)
    return Call(
        deps=deps,
        request_id=scope[REQUEST_ID],
        namespace=_namespace(caller, headers, deps.namespace),
        caller=caller,
        again=stays if deps.gate is None else partial(deps.gate.caller, headers, peer, session),
        scheme=scope["scheme"],
        peer=peer,
        method=route.method,
        url_path=scope["path"],
        path=path,
        query=values,
        query_string=scope["query_string"].decode("ascii", "replace"),
        headers=headers,
        trace=scope.get(TRACE),
        body=b"" if route.body is None else await read_body(route.body, headers, receive),
    )


async def _admitted(
    route: Route, deps: Deps, headers: Headers, scope: Scope, session: str | None
) -> Caller:
    """Judge the caller before anything else is read.

    Raises Unauthenticated, Forbidden, RateLimited.
    """
    if route.needs == "open":
        return ANYONE
    address = _peer(scope)
    caller = ANYONE
    if deps.gate is not None:
        caller = await known_caller(deps, deps.gate, headers, address, session)
    if deps.meter is not None:
        client = caller.id or address_of(address)
        scope[TOLD].update(await metered(deps, deps.meter, client, route.budget))
    if not caller.may(route.needs):
        has = _listed(sorted(caller.scopes))
        raise Forbidden(f"This needs the scope {route.needs}; the credentials have {has}.")
    same_origin.check(scope, headers, session, deps.cors_origins)
    return caller


def _peer(scope: Scope) -> str | None:
    peer = scope.get("client")
    return peer[0] if peer else None


def _session(headers: Headers, scope: Scope) -> str | None:
    """Return the cookie that stands for a key, where no key came."""
    return None if "authorization" in headers else token_of(headers, scope["scheme"])


async def metered(deps: Deps, meter: Meter, client: str, budget: Budget) -> dict[str, str]:
    """Let a request pass, or tell that it did not; raise RateLimited."""
    try:
        return await meter.admit(client, budget)
    except RateLimited as refused:
        deps.on_event(EventName.RATE_LIMITED, limit=refused.limit)
        raise


async def known_caller(
    deps: Deps, gate: Gatekeeper, headers: Headers, address: str | None, session: str | None
) -> Caller:
    """Return the caller; an address whose credentials fail too often is told to wait."""
    client = address_of(address)
    if deps.meter is not None and not gate.remembers(headers, session):
        try:
            await deps.meter.check(client, "logins")
        except RateLimited as refused:
            deps.on_event(EventName.RATE_LIMITED, limit=refused.limit)
            raise
    try:
        return await gate.caller(headers, address, session)
    except Unauthenticated as refused:
        if deps.meter is not None and refused.given:
            await deps.meter.admit(client, "logins")
        raise


def _namespace(caller: Caller, headers: Headers, default: str) -> str:
    """Return the namespace of a request: the caller's own, or the one a caller of all names."""
    given = headers.getlist(NAMESPACE)
    if not given:
        return default if caller.namespace == EVERY else caller.namespace
    if len(given) > 1 or not _NAMESPACE.fullmatch(given[0]):
        detail = "must be the name of one namespace: lower-case letters, digits, '.', '_' and '-'"
        raise Invalid([Fault("", detail, parameter=NAMESPACE)])
    if not caller.sees(given[0]):
        raise Forbidden(f"The key is bound to the namespace {caller.namespace}.")
    return given[0]


async def read_body(body: Body, headers: Headers, receive: Receive) -> bytes:
    """Read a body of a type and length the route takes."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        raise UnsupportedMediaType("Content-Encoding is not supported; send the body as it is.")
    if int(headers.get("content-length", "0")) > body.length_max:
        raise _too_large(body)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await _gather(body, receive)
    except TimeoutError:
        raise Malformed(f"The body did not arrive within {BODY_SECONDS:g} s.") from None
    _check_media_type(body, headers.get("content-type"), empty=not raw)
    return raw


async def _gather(body: Body, receive: Receive) -> bytes:
    parts: list[bytes] = []
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        length += len(part)
        if length > body.length_max:
            raise _too_large(body)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _check_media_type(body: Body, given: str | None, *, empty: bool) -> None:
    if given is None and not empty:
        raise UnsupportedMediaType(f"Content-Type is missing; send {_listed(body.media_types)}.")
    if given is None or (empty and not body.required):
        return
    name, _, parameters = given.partition(";")
    if name.strip().lower() not in (*body.media_types, *((FORM,) if body.forms else ())):
        raise UnsupportedMediaType(
            f"Content-Type is '{given[:100]}'; send {_listed(body.media_types)}."
        )
    charset = parameters.strip().lower()
    if charset.startswith("charset=") and charset[8:].strip('" ') not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(f"The body must be UTF-8; send {JSON} without a charset.")


def _listed(words: Iterable[str]) -> str:
    return " or ".join(words)


def _too_large(body: Body) -> TooLarge:
    return TooLarge(f"The body is longer than {body.length_max // 1024**2} MiB.")
