"""Secrets that sign requests: made here, shown once, rotated with an overlap.

To rotate: make the new one, give it to the receivers, delete the old one `?after=` a while.
"""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from scheduler_svc.api import audit, cursor
from scheduler_svc.api.check_secrets import NO_RING
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, Body, QueryParam, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.delivery.signing import SECRET_BYTES, hmac_text, public_text
from scheduler_svc.domain.audit import Action
from scheduler_svc.domain.duration import DurationText, milliseconds
from scheduler_svc.domain.errors import Conflict, Fault, Invalid, NotFound
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import RANDOM_BYTES, instant_at, job_id, looks_like_id
from scheduler_svc.domain.secrecy import SIGNING, place_of
from scheduler_svc.domain.url import UrlRefused, parse_url
from scheduler_svc.store import notices, signing_secrets
from scheduler_svc.store.pool import Connection, connection, transaction
from scheduler_svc.store.signing_secrets import Kind
from scheduler_svc.store.signing_secrets import SigningSecret as Stored

EMPTY = b"{}"
ACTIVE_MAX = 10
"""All that are for a host sign each request, so there are few."""
AFTER_MAX_MS = 90 * 86_400_000
HINT_CHARACTERS = 4


class SigningSecretRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make: a shared secret (`hmac`, signatures `v1`) or a key pair (`ed25519`, `v1a`)."""

    name: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    type: Kind = "hmac"
    host: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=253,
                description="Sign only requests to this host.",
                examples=["hooks.example.com"],
            ),
        ]
        | None
    ) = None


class SigningSecret(Struct, frozen=True, kw_only=True):
    """A secret that signs, without itself: `hint` is its end, `public_key` that of a key pair."""

    id: UUID
    name: str | None
    type: Kind
    host: str | None
    hint: str
    public_key: str | None
    created_at: Stamp
    expires_at: Stamp | None


class NewSigningSecret(SigningSecret, frozen=True, kw_only=True):
    """A secret that was just made: `secret` is shown this once, null for a key pair."""

    secret: str | None


class SigningSecretList(Struct, frozen=True, kw_only=True):
    """A page of the secrets that sign, newest first."""

    items: list[SigningSecret]
    next_cursor: NextCursor


class Place(Struct, frozen=True):
    """Where a list goes on."""

    created_at: datetime
    id: UUID


async def create(call: Call) -> Reply:
    """Make a secret; it signs from now on, beside those that are there."""
    asked = decode(call.body or EMPTY, SigningSecretRequest)
    host = _host(asked.host)
    ring = call.deps.ring
    if ring is None:
        raise Invalid([Fault("", NO_RING.replace("is", "a signing secret is", 1))])
    value = call.deps.random_bytes(SECRET_BYTES)
    now_ms = call.deps.now_ms()
    text = hmac_text(value) if asked.type == "hmac" else public_text(value)
    made = Stored(
        id=job_id(now_ms, call.deps.random_bytes(RANDOM_BYTES)),
        name=asked.name,
        type=asked.type,
        host=host,
        hint=f"…{text.rstrip('=')[-HINT_CHARACTERS:]}",
        public_key=None if asked.type == "hmac" else text,
        created_at=instant_at(now_ms),
        expires_at=None,
    )
    sealed = ring.seal(value, place_of(call.namespace, SIGNING, str(made.id)))
    async with transaction(call.deps.pool) as conn:
        await _check_count(conn, call, made.created_at)
        await signing_secrets.insert(conn, call.namespace, made, sealed)
        await audit.note_signing(conn, call, Action.SIGNING_SECRET_CREATED, made.id, _view(made))
        await notices.secrets_changed(conn, call.namespace)
    call.deps.on_event(EventName.SIGNING_CREATED, signing_id=made.id, host=host)
    shown = NewSigningSecret(
        **structs.asdict(_view(made)), secret=text if asked.type == "hmac" else None
    )
    return Reply(status=201, body=shown)


async def list_all(call: Call) -> Reply:
    """List the secrets that sign."""
    binding = ["signing-secrets", call.namespace]
    given = call.query["cursor"]
    place = None if given is None else cursor.read(given, binding, Place)
    async with connection(call.deps.pool) as conn:
        found = await signing_secrets.list_signing_secrets(
            conn,
            call.namespace,
            after=None if place is None else (place.created_at, place.id),
            now=instant_at(call.deps.now_ms()),
            at_most=call.query["limit"] + 1,
        )
    page = found[: call.query["limit"]]
    more = len(found) > len(page)
    last = Place(page[-1].created_at, page[-1].id) if more else None
    following = None if last is None else cursor.write(last, binding)
    items = [_view(one) for one in page]
    return Reply(
        body=SigningSecretList(items=items, next_cursor=following),
        headers=next_link(call, following),
    )


async def delete(call: Call) -> Reply:
    """Let a secret sign no more, now or after a while."""
    after_ms = _after_ms(call.query["after"])
    now_ms = call.deps.now_ms()
    now = instant_at(now_ms)
    secret_id = _id(call.path["id"])
    async with transaction(call.deps.pool) as conn:
        if after_ms:
            left = await signing_secrets.expire(
                conn, call.namespace, secret_id, at=instant_at(now_ms + after_ms), now=now
            )
            found = left is not None
        else:
            left = None
            found = await signing_secrets.delete(conn, call.namespace, secret_id, now=now)
        if not found:
            raise _no_secret()
        await notices.secrets_changed(conn, call.namespace)
        shown = None if left is None else _view(left)
        await audit.note_signing(conn, call, Action.SIGNING_SECRET_EXPIRED, secret_id, shown)
    expires_at = now if left is None else left.expires_at
    call.deps.on_event(EventName.SIGNING_EXPIRES, signing_id=secret_id, expires_at=expires_at)
    if left is None:
        return Reply(status=204)
    return Reply(body=_view(left))


async def _check_count(conn: Connection, call: Call, now: datetime) -> None:
    active = await signing_secrets.signing_secrets_of(conn, call.namespace, now=now)
    if len(active) >= ACTIVE_MAX:
        raise Conflict(f"The namespace has {ACTIVE_MAX} signing secrets, the most; delete some.")


def _host(text: str | None) -> str | None:
    """Return a host in the spelling in which targets are compared; raise Invalid."""
    if text is None:
        return None
    try:
        url = parse_url(f"https://{text}/")
    except UrlRefused as refused:
        raise Invalid([Fault("/host", refused.reason)]) from None
    if str(url) != f"https://{url.authority}/" or url.authority.endswith(f":{url.port}"):
        raise Invalid([Fault("/host", "is not a host alone: leave out scheme, port and path")])
    return url.host


def _after_ms(text: str | None) -> int:
    try:
        length = 0 if text is None else milliseconds(text)
    except ValueError as fault:
        raise Invalid([Fault("", str(fault), parameter="after")]) from None
    if length > AFTER_MAX_MS:
        raise Invalid([Fault("", f"'{text}' is too long; at most 90d", parameter="after")])
    return length


def _id(text: str) -> UUID:
    if not looks_like_id(text):
        raise _no_secret()
    return UUID(text)


def _no_secret() -> NotFound:
    return NotFound("There is no signing secret of that id.")


def _view(stored: Stored) -> SigningSecret:
    return SigningSecret(
        id=stored.id,
        name=stored.name,
        type=stored.type,
        host=stored.host,
        hint=stored.hint,
        public_key=stored.public_key,
        created_at=stamp(stored.created_at),
        expires_at=stamp_or_none(stored.expires_at),
    )


ROUTES = (
    Route(
        method="POST",
        path="/signing-secrets",
        handler=create,
        operation_id="create_signing_secret",
        summary="Make a secret that signs requests",
        # Its answer shows the secret, and is therefore kept nowhere.
        idempotent=False,
        description=(
            "Requests are signed by Standard Webhooks with every secret that is for their host."
            " A shared secret (`whsec_...`) is shown in this answer and never again."
        ),
        tag="secrets",
        body=Body(
            type=SigningSecretRequest,
            required=False,
            examples={
                "for all targets": {},
                "for one host": {"host": "hooks.example.com"},
                "a key pair": {"type": "ed25519"},
            },
        ),
        answers={201: Answer(description="The secret, shown once.", type=NewSigningSecret)},
        problems=(409,),
    ),
    Route(
        method="GET",
        path="/signing-secrets",
        handler=list_all,
        operation_id="list_signing_secrets",
        summary="List the secrets that sign",
        tag="secrets",
        params=(LIMIT, CURSOR),
        answers={
            200: Answer(
                description="A page of them, newest first.",
                type=SigningSecretList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
    Route(
        method="DELETE",
        path="/signing-secrets/{id}",
        handler=delete,
        operation_id="delete_signing_secret",
        summary="Let a secret sign no more",
        description="At once, or with `after` so much later: until then old and new both sign.",
        tag="secrets",
        params=(
            QueryParam(
                name="after",
                type=DurationText,
                description="How long it signs still, at most 90d.",
                example="24h",
            ),
        ),
        answers={
            200: Answer(description="It signs until `expires_at`.", type=SigningSecret),
            204: Answer(description="It signs no more."),
        },
        problems=(404,),
    ),
)
