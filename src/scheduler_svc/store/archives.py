"""Days on their way to a file: who is at which, how far it is, and the runs page by page.

Promises that a page is read by key, of a table that nobody writes any more, so that no transaction
stays open over a whole day. Names of tables come from dates alone.
"""

from collections.abc import Callable, Coroutine
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.partitions import retired_name
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

LEASE_MS = 60_000
Key = tuple[datetime, UUID]
Sink = Callable[[bytes], Coroutine[Any, Any, None]]


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """How far the file of a day is; `bytes` of it are good, whatever follows them."""

    state: str
    file: str | None = None
    sha256: str | None = None
    runs: int = 0
    bytes: int = 0
    plain_bytes: int = 0
    after_at: datetime | None = None
    after_id: UUID | None = None


class Turn(msgspec.Struct, frozen=True):
    """A day, and the replica whose turn it is."""

    day: date
    replica: UUID


async def claim(conn: Connection, turn: Turn, *, now_ms: int) -> Archive | None:
    """Take the turn, or keep it; None while another replica is at the day."""
    row = await conn.fetchrow(
        statement("claim_archive"),
        turn.day,
        turn.replica,
        instant_at(now_ms),
        instant_at(now_ms + LEASE_MS),
    )
    return None if row is None else Archive(**dict(row))


async def restart(conn: Connection, turn: Turn) -> bool:
    """Forget what was written; False where the turn was lost, here and below."""
    row = await conn.fetchrow(statement("restart_archive"), turn.day, turn.replica)
    return row is not None


async def note_page(conn: Connection, turn: Turn, far: Archive, *, now_ms: int) -> bool:
    """Note that the file is so far, and keep the turn."""
    row = await conn.fetchrow(
        statement("note_archive_page"),
        turn.day,
        turn.replica,
        instant_at(now_ms + LEASE_MS),
        far.runs,
        far.bytes,
        far.plain_bytes,
        far.after_at,
        far.after_id,
    )
    return row is not None


async def seal(conn: Connection, turn: Turn, *, file: str, sha256: str) -> bool:
    """Note the name and the digest of the whole file."""
    args = (turn.day, turn.replica, file, sha256)
    return await conn.fetchrow(statement("seal_archive"), *args) is not None


async def end(conn: Connection, turn: Turn, *, now_ms: int) -> bool:
    """Note that the file is in its place."""
    args = (turn.day, turn.replica, instant_at(now_ms))
    return await conn.fetchrow(statement("end_archive"), *args) is not None


async def file_of(conn: Connection, day: date) -> str | None:
    """Return the file that a day which is gone was written to."""
    found: str | None = await conn.fetchval(statement("archived_file"), day)
    return found


async def columns(conn: Connection, name: str) -> list[str]:
    """Return the columns of a day that was taken off, as its file has them."""
    rows = await conn.fetch(statement("columns_of"), retired_name(name))
    return [row["name"] for row in rows]


async def page_end(conn: Connection, name: str, far: Archive, *, at_most: int) -> Key | None:
    """Return the last key of the next page; None where there is nothing more."""
    row = await conn.fetchrow(
        f"SELECT scheduled_for, id FROM (SELECT scheduled_for, id FROM {retired_name(name)}"  # noqa: S608
        f" WHERE {_behind(far)} ORDER BY scheduled_for, id LIMIT {at_most}) AS page"
        " ORDER BY scheduled_for DESC, id DESC LIMIT 1"
    )
    return None if row is None else (row["scheduled_for"], row["id"])


async def copy_page(conn: Connection, name: str, far: Archive, upto: Key, sink: Sink) -> int:
    """Give the rows behind `far` up to a key as CSV; return how many. The first page has a head.

    The keys are written into the text: COPY takes no parameters, and they are of a type each.
    """
    done: str = await conn.copy_from_query(
        f"SELECT * FROM {retired_name(name)} WHERE {_behind(far)}"  # noqa: S608
        f" AND (scheduled_for, id) <= {_literal(upto)} ORDER BY scheduled_for, id",
        output=sink,
        format="csv",
        header=far.after_at is None,
    )
    return int(done.rsplit(" ", 1)[-1])


def _behind(far: Archive) -> str:
    if far.after_at is None or far.after_id is None:
        return "true"
    return f"(scheduled_for, id) > {_literal((far.after_at, far.after_id))}"


def _literal(key: Key) -> str:
    return f"('{key[0].isoformat()}'::timestamptz, '{key[1]}'::uuid)"
