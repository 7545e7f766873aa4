"""Namespaces in the store: one typed function a statement, on the caller's connection.

A row is never removed, so that a change of any shows in their number or in the sum of revisions.
"""

from datetime import datetime
from typing import NamedTuple

import msgspec
from asyncpg import Record

from scheduler_svc.domain.namespaces import Namespace, NamespaceSettings
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

PAGE = 500


class NamespacesMark(NamedTuple):
    """What differs after any change."""

    number: int
    revisions: int


async def get_namespace(conn: Connection, name: str) -> Namespace | None:
    """Read one namespace."""
    return _namespace(await conn.fetchrow(statement("get_namespace"), name))


async def lock_namespace(conn: Connection, name: str) -> Namespace | None:
    """Read one namespace and keep others from changing it until the transaction ends."""
    return _namespace(await conn.fetchrow(statement("lock_namespace"), name))


async def insert_namespace(
    conn: Connection, name: str, settings: NamespaceSettings, now: datetime
) -> Namespace | None:
    """Write a new namespace; None where another request was quicker."""
    text = msgspec.json.encode(settings).decode()
    return _namespace(await conn.fetchrow(statement("insert_namespace"), name, text, now))


async def update_namespace(
    conn: Connection, name: str, settings: NamespaceSettings, now: datetime
) -> Namespace | None:
    """Give a locked namespace other settings."""
    text = msgspec.json.encode(settings).decode()
    return _namespace(await conn.fetchrow(statement("update_namespace"), name, text, now))


async def list_namespaces(conn: Connection, *, after: str, at_most: int) -> list[Namespace]:
    """Return a page of namespaces in the order of their names."""
    rows = await conn.fetch(statement("list_namespaces"), after, at_most)
    return [Namespace(**dict(row)) for row in rows]


async def namespaces_mark(conn: Connection) -> NamespacesMark:
    """Return what tells whether anything changed."""
    row = await conn.fetchrow(statement("namespaces_mark"))
    return NamespacesMark(0, 0) if row is None else NamespacesMark(*row)


async def all_namespaces(conn: Connection) -> list[Namespace]:
    """Read every namespace, page by page."""
    found: list[Namespace] = []
    page = await list_namespaces(conn, after="", at_most=PAGE)
    while page:
        found += page
        more = len(page) == PAGE
        page = await list_namespaces(conn, after=page[-1].name, at_most=PAGE) if more else []
    return found


def _namespace(row: Record | None) -> Namespace | None:
    return None if row is None else Namespace(**dict(row))
