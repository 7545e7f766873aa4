"""API keys in the store: found by the digest of what a caller sent, never by the key itself."""

from datetime import datetime
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.access import Scope
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

TOUCH_MS = 60_000
"""How old the note of a key's last use may be."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept: all but what opens."""

    id: UUID
    name: str
    prefix: str
    namespace: str
    scopes: list[Scope]
    cidrs: list[str]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    last_used_at: datetime | None = None


class KeyPlace(msgspec.Struct, frozen=True):
    """A row of the list: when it was created, in epoch milliseconds, and its id."""

    created_ms: int
    id: UUID


async def insert_key(conn: Connection, key: ApiKey, digest: bytes) -> None:
    """Keep a new key by its digest."""
    await conn.execute(
        statement("insert_api_key"),
        key.id,
        key.name,
        key.prefix,
        digest,
        key.namespace,
        key.scopes,
        key.cidrs,
        key.created_at,
        key.created_by,
        key.expires_at,
    )


async def find_key(conn: Connection, digest: bytes) -> tuple[ApiKey, bytes] | None:
    """Return the key of that digest, with the digest as it is stored."""
    row = await conn.fetchrow(statement("find_api_key"), digest)
    return None if row is None else (_key(row), row["hash"])


async def get_key(conn: Connection, key_id: UUID, namespace: str) -> ApiKey | None:
    """Return a key that a reader of this namespace may see; `*` sees all."""
    row = await conn.fetchrow(statement("get_api_key"), key_id, namespace)
    return None if row is None else _key(row)


async def list_keys(
    conn: Connection, namespace: str, *, after: KeyPlace | None, at_most: int
) -> list[ApiKey]:
    """Return a page of the keys of a namespace, or with `*` of all."""
    place = after or KeyPlace(253_402_300_799_000, UUID(int=2**128 - 1))
    rows = await conn.fetch(
        statement("list_api_keys"), namespace, instant_at(place.created_ms), place.id, at_most
    )
    return [_key(row) for row in rows]


async def touch_key(conn: Connection, key_id: UUID, *, now_ms: int) -> None:
    """Note that a key was used, unless that was noted a short while ago."""
    now = instant_at(now_ms)
    await conn.execute(statement("touch_api_key"), key_id, now, instant_at(now_ms - TOUCH_MS))


async def expire_key(conn: Connection, key_id: UUID, at: datetime) -> None:
    """Let a key end at an instant, where it does not end before."""
    await conn.execute(statement("expire_api_key"), key_id, at)


async def delete_key(conn: Connection, key_id: UUID, namespace: str) -> bool:
    """Revoke a key; False where there is none that this namespace may see."""
    return bool(await conn.fetch(statement("delete_api_key"), key_id, namespace))


async def any_key(conn: Connection, *, now_ms: int) -> bool:
    """Tell whether any key opens anything."""
    found: bool = await conn.fetchval(statement("any_api_key"), instant_at(now_ms))
    return found


def _key(row: Record) -> ApiKey:
    values = dict(row)
    values.pop("hash", None)
    return ApiKey(**values)
