"""Named secrets in the store: sealed values by namespace and name; lists show names alone."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement


class SecretRow(msgspec.Struct, frozen=True):
    """A named secret as it is listed."""

    name: str
    created_at: datetime
    updated_at: datetime


async def put_secret(
    conn: Connection, namespace: str, name: str, sealed: str, *, now: datetime
) -> tuple[SecretRow, bool]:
    """Make or replace a secret; the flag tells whether it is new."""
    row = await conn.fetchrow(statement("put_secret"), namespace, name, sealed, now)
    if row is None:
        raise RuntimeError("an upsert answered with no row")
    return SecretRow(name, row["created_at"], row["updated_at"]), row["made"]


async def count_secrets(conn: Connection, namespace: str, *, but_not: str) -> int:
    """Count the secrets of a namespace besides one."""
    found: int = await conn.fetchval(statement("count_secrets"), namespace, but_not)
    return found


async def list_secrets(
    conn: Connection, namespace: str, *, after: str, at_most: int
) -> list[SecretRow]:
    """Return a page of secrets by name."""
    rows = await conn.fetch(statement("list_secrets"), namespace, after, at_most)
    return [SecretRow(*row) for row in rows]


async def find_secrets(conn: Connection, namespace: str, names: Collection[str]) -> dict[str, str]:
    """Return the sealed values of those of these names that are there."""
    rows = await conn.fetch(statement("find_secrets"), namespace, list(names))
    return {row["name"]: row["sealed"] for row in rows}


async def get_secret(conn: Connection, namespace: str, name: str) -> tuple[SecretRow, str] | None:
    """Return a secret as it is listed, and its sealed value."""
    row = await conn.fetchrow(statement("find_secrets"), namespace, [name])
    if row is None:
        return None
    return SecretRow(row["name"], row["created_at"], row["updated_at"]), row["sealed"]


async def delete_secret(conn: Connection, namespace: str, name: str) -> bool:
    """Delete a secret; False where there is none."""
    rows = await conn.fetch(statement("delete_secret"), namespace, name)
    return bool(rows)
