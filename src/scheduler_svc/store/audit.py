"""The audit log in the store: entries written beside their effect, and sealed by one at a time.

Writers only insert, and share no lock. The number of an entry is given out when it is sealed, so
what commits late is sealed later, and nothing is passed over.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from asyncpg import Record
from msgspec import structs

from scheduler_svc.domain.audit import Draft, Entry
from scheduler_svc.domain.audit_chain import Link, MarkName, Sealed
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

LOCK = int.from_bytes(sha256(b"audit chain").digest()[:8], signed=True)
_FIELDS = Entry.__struct_fields__


async def insert(conn: Connection, draft: Draft) -> None:
    """Write an entry in the transaction of its effect."""
    actor, resource = draft.actor, draft.resource
    await conn.execute(
        statement("insert_audit"),
        draft.namespace,
        actor.kind,
        actor.id,
        actor.name,
        draft.address,
        draft.request_id,
        draft.action,
        resource.kind,
        resource.id,
        resource.name,
        resource.job_id,
        draft.before,
        draft.after,
        draft.many,
    )


async def try_lock(conn: Connection) -> bool:
    """Hold the chain until the transaction ends; False where another replica holds it."""
    held: bool = await conn.fetchval(statement("lock_audit"), LOCK)
    return held


async def take(conn: Connection, *, since: datetime, batch: int) -> list[Entry]:
    """Take out what waits to be sealed, oldest first."""
    rows = await conn.fetch(statement("take_pending"), since, batch)
    return sorted(map(_entry, rows), key=lambda entry: (entry.at, entry.id))


async def append(conn: Connection, sealed: Sequence[Sealed]) -> None:
    """Write sealed entries to the log."""
    rows: list[tuple[Any, ...]] = [
        (
            one.link.seq,
            *structs.astuple(one.entry),
            one.prev_hash,
            one.link.hash,
            one.link.key_id,
            one.link.mac,
        )
        for one in sealed
    ]
    await conn.execute(statement("insert_sealed"), *zip(*rows, strict=True))


async def marks(conn: Connection) -> dict[MarkName, Link]:
    """Return the marks of where the log begins and ends; a log without entries may have none."""
    return {row["name"]: _link(row) for row in await conn.fetch(statement("audit_marks"))}


async def put_mark(conn: Connection, name: MarkName, link: Link) -> None:
    """Move a mark, under the lock of the chain."""
    await conn.execute(
        statement("put_audit_mark"), name, link.seq, link.hash, link.key_id, link.mac
    )


async def last(conn: Connection) -> Link | None:
    """Return the newest entry's place, by the log itself."""
    row = await conn.fetchrow(statement("last_sealed"))
    return None if row is None else _link(row)


async def prune(conn: Connection, *, older_than: datetime, batch: int) -> tuple[Link, int] | None:
    """Remove a batch from the beginning of the log; return the last that went, and how many."""
    row = await conn.fetchrow(statement("prune_audit"), older_than, batch)
    return None if row is None else (Link(row["seq"], row["hash"]), row["pruned"])


async def any_unsealed(conn: Connection, *, since: datetime) -> bool:
    """Tell whether anything written since then waits to be sealed."""
    found: bool = await conn.fetchval(statement("any_unsealed"), since)
    return found


async def oldest_unsealed(conn: Connection) -> datetime | None:
    """Return since when something waits to be sealed."""
    found: datetime | None = await conn.fetchval(statement("oldest_unsealed"))
    return found


async def walk(conn: Connection, *, after: int, batch: int) -> list[Sealed]:
    """Return the next entries in the order of the chain."""
    return [sealed_of(row) for row in await conn.fetch(statement("walk_audit"), after, batch)]


async def with_hash(conn: Connection, hash_: bytes) -> list[Sealed]:
    """Return entries that have a hash, of which there should be one; reads the whole log."""
    return [sealed_of(row) for row in await conn.fetch(statement("audit_with_hash"), hash_)]


def sealed_of(row: Record) -> Sealed:
    """Make a sealed entry of a row of the log."""
    return Sealed(_link(row), row["prev_hash"], _entry(row))


def _entry(row: Record) -> Entry:
    return Entry(**{field: row[field] for field in _FIELDS})


def _link(row: Record) -> Link:
    return Link(row["seq"], row["hash"], row["key_id"], row["mac"])
