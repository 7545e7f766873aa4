"""Secrets that sign requests, in the store; the sealed value leaves to sign alone."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

Kind = Literal["hmac", "ed25519"]
LAST: Sequence[Any] = (datetime.max.replace(tzinfo=UTC), UUID(int=2**128 - 1))


class SigningSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret that signs, as it is listed."""

    id: UUID
    name: str | None
    type: Kind
    host: str | None
    hint: str
    public_key: str | None
    created_at: datetime
    expires_at: datetime | None


class SealedSigner(msgspec.Struct, frozen=True):
    """A secret that signs, as it is stored."""

    id: UUID
    type: Kind
    host: str | None
    sealed: str
    expires_at: datetime | None


async def insert(conn: Connection, namespace: str, secret: SigningSecret, sealed: str) -> None:
    """Write a new secret, and drop what has expired."""
    await conn.execute(statement("prune_signing_secrets"), namespace, secret.created_at)
    await conn.execute(
        statement("insert_signing_secret"),
        secret.id,
        namespace,
        secret.name,
        secret.type,
        secret.host,
        secret.hint,
        sealed,
        secret.public_key,
        secret.created_at,
    )


async def list_signing_secrets(
    conn: Connection,
    namespace: str,
    *,
    after: tuple[datetime, UUID] | None,
    now: datetime,
    at_most: int,
) -> list[SigningSecret]:
    """Return a page of those that sign, newest first."""
    place = LAST if after is None else after
    rows = await conn.fetch(statement("list_signing_secrets"), namespace, *place, now, at_most)
    return [SigningSecret(**row) for row in rows]


async def signing_secrets_of(
    conn: Connection, namespace: str, *, now: datetime
) -> list[SealedSigner]:
    """Return all that sign for a namespace, newest first."""
    rows = await conn.fetch(statement("signing_secrets_of"), namespace, now)
    return [SealedSigner(*row) for row in rows]


async def signing_hosts(
    conn: Connection, namespace: str, *, now: datetime
) -> frozenset[str | None]:
    """Return the hosts for which a namespace signs; None stands for all."""
    rows = await conn.fetch(statement("signing_hosts"), namespace, now)
    return frozenset(row[0] for row in rows)


async def expire(
    conn: Connection, namespace: str, secret_id: UUID, *, at: datetime, now: datetime
) -> SigningSecret | None:
    """Let a secret sign until an instant; None where there is none."""
    row = await conn.fetchrow(statement("expire_signing_secret"), namespace, secret_id, at, now)
    return None if row is None else SigningSecret(**row)


async def delete(conn: Connection, namespace: str, secret_id: UUID, *, now: datetime) -> bool:
    """Delete a secret; False where there is none."""
    rows = await conn.fetch(statement("delete_signing_secret"), namespace, secret_id, now)
    return bool(rows)


async def public_keys(conn: Connection, *, now: datetime) -> list[tuple[UUID, str]]:
    """Return the public halves of the keys that sign, of every namespace."""
    rows = await conn.fetch(statement("public_signing_keys"), now)
    return [(row[0], row[1]) for row in rows]
