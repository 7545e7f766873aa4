"""`/ui/login`, `/ui/logout`, `/ui/session`: a key becomes a cookie, and is heard of no more.

Promises a fresh token at each login, whatever cookie came along; no login that another page asked
for; that guesses are limited by address; and that a form ends at a path of ours, never elsewhere.
"""

import re
from datetime import datetime
from typing import Annotated
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Meta, Struct

from scheduler_svc.api import cookie, same_origin
from scheduler_svc.api.context import Call, Gatekeeper, Reply, Session
from scheduler_svc.api.endpoint import known_caller, metered
from scheduler_svc.api.limits import address_of
from scheduler_svc.api.middleware import is_loopback
from scheduler_svc.api.route import FORM, Answer, Body, HeaderParam, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.domain.access import ANYONE, Caller, Scope
from scheduler_svc.domain.errors import Forbidden, Malformed, RateLimited, Refused, Unauthenticated
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at

LOGIN = "/ui/login"
BODY_MAX = 16 * 1024
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]{0,500}")


class Login(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody logs in with."""

    key: Annotated[str, Meta(min_length=1, max_length=4096, description="An API key.")]
    next: Annotated[
        str, Meta(max_length=500, description="For forms: the path of ours to go on to.")
    ] = "/"


class SessionView(Struct, frozen=True, kw_only=True):
    """Who is logged in, and what a change has to bring along as `X-CSRF-Token`."""

    name: str | None
    namespace: str
    scopes: list[Scope]
    csrf_token: str | None
    expires_at: datetime | None


async def log_in(call: Call) -> Reply:
    """Begin a session; a form is answered by a redirect, whatever comes of it."""
    is_form = _is_form(call)
    try:
        asked = _asked(call) if is_form else decode(call.body, Login)
        token, caller = await _begin(call, asked.key)
    except Refused as refused:
        if not is_form:
            raise
        return _see_other(f"{LOGIN}?failed={_why(refused)}{_onward(call)}")
    made = cookie.setting(token, call.scheme, _sessions(call).most_seconds)
    if is_form:
        reply = _see_other(asked.next if _LOCAL.fullmatch(asked.next) else "/")
    else:
        reply = Reply(body=await _view(call, token, caller))
    reply.headers["Set-Cookie"] = made
    return reply


async def log_out(call: Call) -> Reply:
    """End the session of the cookie; who has none is logged out already."""
    token = cookie.token_of(call.headers, call.scheme)
    if token is not None:
        given = dict(_fields(call)).get("csrf_token") if _is_form(call) else None
        same_origin.check_session(call.scheme, call.headers, token, given)
        if call.deps.meter is not None:  # any token will do, and each costs a statement
            await metered(call.deps, call.deps.meter, address_of(call.peer), "writes")
        await _sessions(call).end(token)
        call.deps.on_event(EventName.SESSION_ENDED, peer=call.peer)
    reply = _see_other(LOGIN) if _is_form(call) else Reply(status=204)
    reply.headers["Set-Cookie"] = cookie.setting("", call.scheme, 0)
    return reply


async def get_session(call: Call) -> Reply:
    """Tell who asks; raise Unauthenticated where nobody may."""
    with_key = "authorization" in call.headers  # which wins over a cookie, here too
    token = None if with_key else cookie.token_of(call.headers, call.scheme)
    caller = ANYONE
    if call.deps.gate is not None:  # a route that is open: nobody else has counted guesses
        caller = await known_caller(call.deps, call.deps.gate, call.headers, call.peer, token)
    return Reply(body=await _view(call, token, caller))


async def _begin(call: Call, key: str) -> tuple[str, Caller]:
    """Judge the key and begin; raise Forbidden, RateLimited, Unauthenticated."""
    if same_origin.is_foreign(call.scheme, call.headers):
        raise Forbidden("A page of another origin asked for this; log in on our own.")
    if call.scheme != "https" and not is_loopback(call.headers.get("host", "")):
        raise Forbidden("A session needs https. Behind a proxy that speaks it, X-Forwarded-Proto.")
    gate, sessions = _gate(call), _sessions(call)
    meter, client = call.deps.meter, address_of(call.peer)
    if meter is not None:
        await meter.check(client, "logins")
    try:
        caller = await gate.admit_key(key, call.peer)
    except Unauthenticated:
        call.deps.on_event(EventName.SESSION_REFUSED, peer=call.peer)
        if meter is not None:
            await meter.admit(client, "logins")
        raise
    if (old := cookie.token_of(call.headers, call.scheme)) is not None:
        await sessions.end(old)
    token = await sessions.begin_with(key)
    call.deps.on_event(EventName.SESSION_BEGUN, by=caller.id, peer=call.peer)
    return token, caller


async def _view(call: Call, token: str | None, caller: Caller) -> SessionView:
    ends = None
    if token is not None and caller.id:
        ends = instant_at((await _sessions(call).find(token)).ends_ms)
    return SessionView(
        name=caller.name,
        namespace=caller.namespace,
        scopes=sorted(caller.scopes),
        csrf_token=None if token is None else cookie.csrf_of(token),
        expires_at=ends,
    )


def _gate(call: Call) -> Gatekeeper:
    if call.deps.gate is None:
        raise Forbidden("This service knows no keys.")
    return call.deps.gate


def _sessions(call: Call) -> Session:
    found = _gate(call).sessions
    if found is None:
        raise Forbidden("This service knows no sessions.")
    return found


def _is_form(call: Call) -> bool:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def _fields(call: Call) -> list[tuple[str, str]]:
    try:
        return parse_qsl(call.body.decode("latin-1"), max_num_fields=10)
    except ValueError:
        raise Malformed("The form has too many fields.") from None


def _asked(call: Call) -> Login:
    """Read a form, with the same judgement as JSON."""
    return decode(msgspec.json.encode(dict(_fields(call))), Login)


def _onward(call: Call) -> str:
    """Keep where a login that failed was to lead to, for the next try."""
    try:
        given = dict(_fields(call)).get("next", "/")
    except Malformed:
        return ""
    return f"&next={quote(given, safe='')}" if given != "/" and _LOCAL.fullmatch(given) else ""


def _why(refused: Refused) -> str:
    """Name a refusal for the page, which has the sentence."""
    match refused:
        case Unauthenticated():
            return "key"
        case RateLimited():
            return "wait"
        case Forbidden():
            return "origin"
        case _:
            return "form"


def _see_other(path: str) -> Reply:
    return Reply(status=303, body=b"", headers={"Location": path}, media_type="text/plain")


COOKIE = {"Set-Cookie": "The session, or its end."}
CSRF = HeaderParam(name=cookie.CSRF_HEADER, description="The session's `csrf_token`.")
ROUTES = (
    Route(
        method="POST",
        path=LOGIN,
        handler=log_in,
        operation_id="log_in",
        summary="Begin a session with an API key.",
        description=(
            "For browsers. The cookie acts with the scopes and namespace of the key, and ends with"
            " it."
        ),
        tag="sessions",
        scope="open",
        idempotent=False,
        body=Body(
            type=Login,
            forms=True,
            length_max=BODY_MAX,
            examples={"key": Login(key="sk_1f2e3d4c_...")},
        ),
        answers={200: Answer(description="The session.", type=SessionView, headers=COOKIE)},
        problems=(401, 403, 429),
    ),
    Route(
        method="POST",
        path="/ui/logout",
        handler=log_out,
        operation_id="log_out",
        summary="End the session.",
        tag="sessions",
        scope="open",
        idempotent=False,
        headers=(CSRF,),
        body=Body(
            type=dict[str, str],
            required=False,
            forms=True,
            length_max=BODY_MAX,
            examples={"nothing": {}},
        ),
        answers={204: Answer(description="It is over.", headers=COOKIE)},
        problems=(403, 429),
    ),
    Route(
        method="GET",
        path="/ui/session",
        handler=get_session,
        operation_id="get_session",
        summary="Who is logged in.",
        tag="sessions",
        scope="open",
        answers={200: Answer(description="The caller, and its token.", type=SessionView)},
        problems=(401, 403, 429),
    ),
)
