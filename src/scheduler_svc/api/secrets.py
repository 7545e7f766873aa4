"""Named secrets of a namespace: kept sealed, replaced by name, listed by name, never shown.

A secret that jobs refer to may be deleted: their runs then end `blocked` and name it.
"""

from typing import Annotated

from msgspec import Meta, Struct

from scheduler_svc.api import audit, cursor
from scheduler_svc.api.check_secrets import NO_RING
from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.jobs_list import CURSOR, LIMIT, next_link
from scheduler_svc.api.route import Answer, Body, Route
from scheduler_svc.api.validate import decode
from scheduler_svc.api.validate_text import pattern_fault
from scheduler_svc.api.wire import NextCursor, Stamp, stamp
from scheduler_svc.domain.audit import Action, Resource
from scheduler_svc.domain.errors import Conflict, Fault, Invalid, NotFound
from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import NAME_PATTERN
from scheduler_svc.domain.secrecy import NAMED, place_of
from scheduler_svc.store import notices, secrets
from scheduler_svc.store.pool import connection, transaction
from scheduler_svc.store.secrets import SecretRow
from scheduler_svc.store.vault import KeyRing, Unopenable

VALUE_BYTES_MAX = 16 * 1024
COUNT_MAX = 1000


class SecretRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The value of a secret: text of at most 16 KiB."""

    value: Annotated[str, Meta(min_length=1, max_length=VALUE_BYTES_MAX)]


class Secret(Struct, frozen=True, kw_only=True):
    """A named secret, without its value."""

    name: str
    created_at: Stamp
    updated_at: Stamp


class SecretList(Struct, frozen=True, kw_only=True):
    """A page of secrets, by name."""

    items: list[Secret]
    next_cursor: NextCursor


async def put_secret(call: Call) -> Reply:
    """Make or replace a secret; attempts use it as soon as the replicas have heard of it."""
    name = call.path["name"]
    asked = _read(call, name)
    ring = call.deps.ring
    if ring is None:
        raise Invalid([Fault("/value", NO_RING)])
    place = place_of(call.namespace, NAMED, name)
    async with transaction(call.deps.pool) as conn:
        stored = await secrets.get_secret(conn, call.namespace, name)
        if stored is not None and _holds(ring, stored[1], place, asked.value):
            return Reply(body=_view(stored[0]))
        if await secrets.count_secrets(conn, call.namespace, but_not=name) >= COUNT_MAX:
            raise Conflict(
                f"The namespace holds {COUNT_MAX} secrets, which is the most; delete some."
            )
        now = instant_at(call.deps.now_ms())
        sealed = ring.seal(asked.value, place)
        row, made = await secrets.put_secret(conn, call.namespace, name, sealed, now=now)
        await notices.secrets_changed(conn, call.namespace)
        await audit.note(conn, call, Action.SECRET_UPDATED, Resource(kind="secret", id=name))
    call.deps.on_event(EventName.SECRET_CHANGED, namespace=call.namespace, name=name)
    return Reply(status=201 if made else 200, body=_view(row))


async def list_all(call: Call) -> Reply:
    """List the secrets by name."""
    binding = ["secrets", call.namespace]
    given = call.query["cursor"]
    after = "" if given is None else cursor.read(given, binding, str)
    async with connection(call.deps.pool) as conn:
        found = await secrets.list_secrets(
            conn, call.namespace, after=after, at_most=call.query["limit"] + 1
        )
    page = found[: call.query["limit"]]
    more = len(found) > len(page)
    following = cursor.write(page[-1].name, binding) if more else None
    return Reply(
        body=SecretList(items=[_view(row) for row in page], next_cursor=following),
        headers=next_link(call, following),
    )


async def delete_secret(call: Call) -> Reply:
    """Delete a secret."""
    name = call.path["name"]
    async with transaction(call.deps.pool) as conn:
        if not await secrets.delete_secret(conn, call.namespace, name):
            raise NotFound(f"There is no secret named '{name[:128]}'.")
        await notices.secrets_changed(conn, call.namespace)
        await audit.note(conn, call, Action.SECRET_DELETED, Resource(kind="secret", id=name))
    call.deps.on_event(EventName.SECRET_DELETED, namespace=call.namespace, name=name)
    return Reply(status=204)


def _read(call: Call, name: str) -> SecretRequest:
    """Judge name and value together; raise Malformed, or Invalid with all faults."""
    faults = []
    if (reason := pattern_fault(name, NAME_PATTERN)) is not None:
        faults.append(Fault("", reason, parameter="name"))
    try:
        asked = decode(call.body, SecretRequest)
    except Invalid as refused:
        raise Invalid([*faults, *refused.faults]) from None
    size = len(asked.value.encode())
    if size > VALUE_BYTES_MAX:
        faults.append(Fault("/value", f"is {size} bytes long; at most {VALUE_BYTES_MAX}"))
    if faults:
        raise Invalid(faults)
    return asked


def _holds(ring: KeyRing, sealed: str, place: str, value: str) -> bool:
    """Tell whether a stored secret is this value already; one that does not open is another."""
    try:
        return ring.open(sealed, place) == value.encode()
    except Unopenable:
        return False


def _view(row: SecretRow) -> Secret:
    return Secret(name=row.name, created_at=stamp(row.created_at), updated_at=stamp(row.updated_at))


ROUTES = (
    Route(
        method="PUT",
        path="/secrets/{name}",
        handler=put_secret,
        operation_id="put_secret",
        summary="Make or replace a secret",
        description=(
            "Jobs use it as `{{secret:NAME}}` in header values and in the query of their URL."
            " The value is sealed before it is stored, and no answer ever shows it."
        ),
        tag="secrets",
        body=Body(type=SecretRequest, examples={"a token": {"value": "a-token-of-the-target"}}),
        answers={
            200: Answer(description="The secret, replaced or as it was.", type=Secret),
            201: Answer(description="The secret, made.", type=Secret),
        },
        problems=(409,),
    ),
    Route(
        method="GET",
        path="/secrets",
        handler=list_all,
        operation_id="list_secrets",
        summary="List secrets by name",
        description="Names alone: a value can be replaced, and never read.",
        tag="secrets",
        params=(LIMIT, CURSOR),
        answers={
            200: Answer(
                description="A page of secrets.",
                type=SecretList,
                headers={"Link": "The next page, where there is one (RFC 8288)."},
            )
        },
    ),
    Route(
        method="DELETE",
        path="/secrets/{name}",
        handler=delete_secret,
        operation_id="delete_secret",
        summary="Delete a secret",
        description="Also while jobs refer to it: their runs then end `blocked`, and name it.",
        tag="secrets",
        answers={204: Answer(description="It is gone.")},
        problems=(404,),
    ),
)
