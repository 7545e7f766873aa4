"""The keys that sign identity tokens, in the store: one signs, retired ones are still published."""

from datetime import datetime

import msgspec

from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class SealedKey(msgspec.Struct, frozen=True):
    """The key that signs, as it is stored."""

    id: str
    sealed: str


async def insert(conn: Connection, key: SealedKey, public_key: str, *, now: datetime) -> None:
    """Write a key, where none signs yet."""
    await conn.execute(statement("insert_identity_key"), key.id, key.sealed, public_key, now)


async def signing_key(conn: Connection) -> SealedKey | None:
    """Return the key that signs."""
    row = await conn.fetchrow(statement("identity_signing_key"))
    return None if row is None else SealedKey(*row)


async def public_keys(conn: Connection, *, since: datetime) -> list[str]:
    """Return the public keys, as JSON, of what signs and of what was retired after an instant."""
    return [row[0] for row in await conn.fetch(statement("identity_public_keys"), since)]


async def retire(conn: Connection, *, now: datetime, since: datetime) -> None:
    """Let the key that signs sign no more; drop what was retired before an instant."""
    await conn.execute(statement("prune_identity_keys"), since)
    await conn.execute(statement("retire_identity_key"), now)
