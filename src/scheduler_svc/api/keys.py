"""API keys as a resource: made, listed, rotated and revoked by callers with the scope `admin`.

A caller of one namespace sees and makes keys of that namespace alone. A key itself is in one answer
only, which no idempotency key keeps.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduler_svc.api import audit, cursor
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.keys_make import Asked, make_key
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.wire_keys import (
    ApiKey,
    ApiKeyCreated,
    ApiKeyList,
    ApiKeyRequest,
    ApiKeyRotation,
    created_view,
    key_view,
)
from scheduler_svc.domain.access import network_fault
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.errors import Fault, Forbidden, Invalid, NotFound
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import epoch_ms, instant_at, looks_like_id
from scheduler_svc.store import api_keys, notices
from scheduler_svc.store.api_keys import ApiKey as StoredKey
from scheduler_svc.store.api_keys import KeyPlace
from scheduler_svc.store.pool import Connection, connection, transaction

EMPTY = b"{}"


async def create_key(call: Call) -> Reply:
    """Make a key; the answer alone shows it."""
    asked = decode(call.body, ApiKeyRequest)
    now_ms = call.deps.now_ms()
    _check(asked, now_ms)
    namespace = asked.namespace or call.namespace
    if not call.caller.sees(namespace):
        raise Forbidden(f"A key bound to {call.caller.namespace} makes keys of that namespace.")
    wanted = Asked(
        name=asked.name,
        namespace=namespace,
        scopes=asked.scopes,
        cidrs=asked.cidrs,
        created_by=call.caller.name,
        expires_at=_cut(asked.expires_at),
    )
    async with transaction(call.deps.pool) as conn:
        return await _made(conn, call, wanted, now_ms)


async def _made(
    conn: Connection, call: Call, wanted: Asked, now_ms: int, old: StoredKey | None = None
) -> Reply:
    key, text = await make_key(conn, wanted, now_ms=now_ms, random_bytes=call.deps.random_bytes)
    await audit.note_key(conn, call, key, old)
    call.deps.on_event(EventName.KEY_CREATED, key_id=key.id, by=call.caller.name)
    return Reply(
        status=201, body=created_view(key, text), headers={"Location": f"/api-keys/{key.id}"}
    )


async def list_keys(call: Call) -> Reply:
    """List keys, without what opens."""
    binding: list[Any] = ["api-keys", call.caller.namespace]
    given = call.query["cursor"]
    after = None if given is None else cursor.read(given, binding, KeyPlace)
    async with connection(call.deps.pool) as conn:
        found = await api_keys.list_keys(
            conn, call.caller.namespace, after=after, at_most=call.query["limit"] + 1
        )
    page = found[: call.query["limit"]]
    following = None
    if len(found) > len(page):
        place = KeyPlace(epoch_ms(page[-1].created_at), page[-1].id)
        following = cursor.write(place, binding)
    items = [key_view(key) for key in page]
    return Reply(
        body=ApiKeyList(items=items, next_cursor=following), headers=next_link(call, following)
    )


async def get_key(call: Call) -> Reply:
    """Read one key, without what opens."""
    async with connection(call.deps.pool) as conn:
        key = await api_keys.get_key(conn, _id_of(call), call.caller.namespace)
    if key is None:
        raise _no_key(call)
    return Reply(body=key_view(key))


async def rotate_key(call: Call) -> Reply:
    """Make a key like another, which goes on for a while."""
    asked = decode(call.body or EMPTY, ApiKeyRotation)
    now_ms, old_id = call.deps.now_ms(), _id_of(call)
    if faults := list(_past(asked.expires_at, now_ms)):
        raise Invalid(faults)
    async with transaction(call.deps.pool) as conn:
        old = await api_keys.get_key(conn, old_id, call.caller.namespace)
        if old is None:
            raise _no_key(call)
        wanted = Asked(
            name=old.name,
            namespace=old.namespace,
            scopes=old.scopes,
            cidrs=old.cidrs,
            created_by=call.caller.name,
            expires_at=_cut(asked.expires_at) or old.expires_at,
        )
        until = instant_at(now_ms + milliseconds(asked.overlap))
        await api_keys.expire_key(conn, old.id, until)
        await notices.key_changed(conn, old.id)
        return await _made(conn, call, wanted, now_ms, old)


async def delete_key(call: Call) -> Reply:
    """Revoke a key: it opens nothing any more, a second from now on any replica."""
    key_id = _id_of(call)
    async with transaction(call.deps.pool) as conn:
        key = await api_keys.get_key(conn, key_id, call.caller.namespace)
        if key is None or not await api_keys.delete_key(conn, key_id, call.caller.namespace):
            raise _no_key(call)
        await notices.key_changed(conn, key_id)
        await audit.note_revoked(conn, call, key)
    call.deps.on_event(EventName.KEY_REVOKED, key_id=key_id, by=call.caller.name)
    return Reply(status=204)


def _check(asked: ApiKeyRequest, now_ms: int) -> None:
    faults = [
        Fault(f"/cidrs/{index}", detail)
        for index, text in enumerate(asked.cidrs)
        if (detail := network_fault(text)) is not None
    ]
    faults += _past(asked.expires_at, now_ms)
    if faults:
        raise Invalid(faults)


def _past(expires_at: datetime | None, now_ms: int) -> Iterator[Fault]:
    if expires_at is not None and epoch_ms(expires_at) <= now_ms:
        yield Fault("/expires_at", "is not in the future")


def _cut(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant_at(epoch_ms(instant))


def _id_of(call: Call) -> UUID:
    text = call.path["id"]
    if not looks_like_id(text):
        raise _no_key(call)
    return UUID(text)


def _no_key(call: Call) -> NotFound:
    return NotFound(f"There is no key '{call.path['id'][:128]}'.")


_CREATED = {
    201: Answer(
        description="The key, with itself; it is never shown again.",
        type=ApiKeyCreated,
        headers={"Location": "The key's path."},
    )
}
ROUTES = (
    Route(
        method="POST",
        path="/api-keys",
        handler=create_key,
        operation_id="create_api_key",
        summary="Create an API key",
        description=(
            "For the namespace of the request, or with a key of all namespaces for any. Only a"
            " digest of it is stored: the answer is the one place that shows it."
        ),
        tag="api-keys",
        idempotent=False,
        body=Body(
            type=ApiKeyRequest,
            examples={
                "a backend's": {"name": "billing-backend", "scopes": ["jobs:write", "runs:read"]},
                "for a while": {
                    "name": "migration",
                    "scopes": ["admin"],
                    "expires_at": "2030-01-31T00:00:00Z",
                    "cidrs": ["10.0.0.0/8"],
                },
            },
        ),
        answers=_CREATED,
    ),
    Route(
        method="GET",
        path="/api-keys",
        handler=list_keys,
        operation_id="list_api_keys",
        summary="List API keys",
        tag="api-keys",
        params=(LIMIT, CURSOR),
        answers={
            200: Answer(
                description="A page of keys, newest first; without what opens.",
                type=ApiKeyList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
    Route(
        method="GET",
        path="/api-keys/{id}",
        handler=get_key,
        operation_id="get_api_key",
        summary="Read an API key",
        tag="api-keys",
        answers={200: Answer(description="The key, without what opens.", type=ApiKey)},
        problems=(404,),
    ),
    Route(
        method="POST",
        path="/api-keys/{id}/rotate",
        handler=rotate_key,
        operation_id="rotate_api_key",
        summary="Replace an API key",
        description=(
            "Makes a key with the same name, scopes, namespace and networks. The old one goes on"
            " for `overlap`, a day unless said otherwise, and then opens nothing."
        ),
        tag="api-keys",
        idempotent=False,
        body=Body(type=ApiKeyRotation, required=False, examples={"at once": {"overlap": "0s"}}),
        answers=_CREATED,
        problems=(404,),
    ),
    Route(
        method="DELETE",
        path="/api-keys/{id}",
        handler=delete_key,
        operation_id="delete_api_key",
        summary="Revoke an API key",
        tag="api-keys",
        answers={204: Answer(description="The key opens nothing any more.")},
        problems=(404,),
    ),
)
