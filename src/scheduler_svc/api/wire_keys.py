"""How an API key looks from outside, and what making one takes."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, structs

from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.domain.access import NAMESPACE_PATTERN, Scope
from scheduler_svc.domain.duration import DurationText
from scheduler_svc.domain.schedule import Instant
from scheduler_svc.store import api_keys

KeyName = Annotated[str, Meta(min_length=1, max_length=128, examples=["billing-backend"])]
Where = Annotated[
    str,
    Meta(
        pattern=rf"{NAMESPACE_PATTERN}|^\*$",
        description="One namespace, or `*` for all.",
        examples=["default"],
    ),
]
Scopes = Annotated[list[Scope], Meta(min_length=1, max_length=6)]
Cidrs = Annotated[
    list[Annotated[str, Meta(max_length=64)]],
    Meta(max_length=50, description="Networks it is good from; none means any address."),
]


class ApiKeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to make: for the namespace of the request unless it names another."""

    name: KeyName
    scopes: Scopes
    namespace: Where | None = None
    expires_at: Instant | None = None
    cidrs: Cidrs = []


class ApiKeyRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the old key goes on beside the new one, and when the new one ends."""

    overlap: DurationText = "24h"
    expires_at: Annotated[
        Instant | None, Meta(description="When the new key ends; as the old one unless said.")
    ] = None


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key: `prefix` is the part of it that is shown again."""

    id: UUID
    name: str
    prefix: str
    namespace: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: Stamp
    created_by: str | None
    expires_at: Stamp | None
    last_used_at: Stamp | None


class ApiKeyCreated(ApiKey, frozen=True, kw_only=True):
    """A key that was made just now, with `key` itself: it is never shown again."""

    key: Annotated[str, Meta(examples=["sk_1f2e3d4c_6Zc0..."])]


class ApiKeyList(Struct, frozen=True, kw_only=True):
    """A page of keys."""

    items: list[ApiKey]
    next_cursor: NextCursor


def key_view(key: api_keys.ApiKey) -> ApiKey:
    """Write a key for the answer."""
    return ApiKey(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        namespace=key.namespace,
        scopes=key.scopes,
        cidrs=key.cidrs,
        created_at=stamp(key.created_at),
        created_by=key.created_by,
        expires_at=stamp_or_none(key.expires_at),
        last_used_at=stamp_or_none(key.last_used_at),
    )


def created_view(key: api_keys.ApiKey, secret: str) -> ApiKeyCreated:
    """Write a new key, itself included."""
    return ApiKeyCreated(**structs.asdict(key_view(key)), key=secret)
