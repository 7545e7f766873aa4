"""Sessions in the store: found by the digest of a cookie's token, never by the token itself."""

from datetime import datetime

import msgspec

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

KEPT_MS = 86_400_000
"""How long one that is over is still known as such, so that its cookie is no guess."""


class Session(msgspec.Struct, frozen=True):
    """A session as it is kept: of which key, when it was used, when it ends in any case."""

    hash: bytes
    credential: bytes
    used_at: datetime
    expires_at: datetime


async def insert_session(
    conn: Connection, digest: bytes, credential: bytes, *, now_ms: int, expires_ms: int
) -> None:
    """Keep a new session by its digest."""
    await conn.execute(
        statement("insert_session"), digest, credential, instant_at(now_ms), instant_at(expires_ms)
    )


async def find_session(conn: Connection, digest: bytes) -> Session | None:
    row = await conn.fetchrow(statement("find_session"), digest)
    return None if row is None else Session(**dict(row))


async def touch_session(conn: Connection, digest: bytes, *, now_ms: int, touch_ms: int) -> None:
    """Note that a session was used, unless that was noted a short while ago."""
    now, before = instant_at(now_ms), instant_at(now_ms - touch_ms)
    await conn.execute(statement("touch_session"), digest, now, before)


async def delete_session(conn: Connection, digest: bytes) -> None:
    await conn.execute(statement("delete_session"), digest)


async def prune(conn: Connection, *, now_ms: int, batch: int) -> int:
    """Remove sessions that are over for a day, at most a batch; return how many."""
    done: str = await conn.execute(statement("prune_sessions"), instant_at(now_ms - KEPT_MS), batch)
    return int(done.rpartition(" ")[2])
