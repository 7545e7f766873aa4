"""Answers kept under an Idempotency-Key, and the lock that marks a request as in progress.

The lock belongs to the transaction that writes the effect, so it can not outlive it; the answer is
a row of the same transaction.
"""

from hashlib import sha256

import msgspec

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

KEPT_MS = 24 * 3_600_000
"""How long an answer is replayed."""


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A key as one caller gave it, and a digest of the request that it came with."""

    namespace: str
    credential: str
    key: str
    request: bytes


class KeptAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it was sent, and the digest of the request that it answered."""

    request: bytes
    status: int
    headers: dict[str, str]
    media_type: str
    body: bytes


async def try_lock(conn: Connection, token: Token) -> bool:
    """Hold the key until the transaction ends; False where another one holds it."""
    held: bool = await conn.fetchval(statement("lock_idempotency_key"), _lock_of(token))
    return held


async def find(conn: Connection, token: Token, *, now_ms: int) -> KeptAnswer | None:
    """Return what was answered under the key in the last 24 hours."""
    row = await conn.fetchrow(
        statement("find_idempotency_key"),
        token.namespace,
        token.credential,
        token.key,
        instant_at(now_ms - KEPT_MS),
    )
    if row is None:
        return None
    return KeptAnswer(
        request=row["request"],
        status=row["status"],
        headers=msgspec.json.decode(row["headers"], type=dict[str, str]),
        media_type=row["media_type"],
        body=row["body"],
    )


async def keep(conn: Connection, token: Token, answer: KeptAnswer, *, now_ms: int) -> None:
    """Keep an answer; the caller holds the key and found nothing under it."""
    await conn.execute(
        statement("keep_idempotency_key"),
        token.namespace,
        token.credential,
        token.key,
        answer.request,
        answer.status,
        msgspec.json.encode(answer.headers).decode(),
        answer.media_type,
        answer.body,
        instant_at(now_ms),
    )


async def prune(conn: Connection, *, now_ms: int, batch: int) -> int:
    """Remove answers that are replayed no more, at most a batch; return how many."""
    done: str = await conn.execute(
        statement("prune_idempotency_keys"), instant_at(now_ms - KEPT_MS), batch
    )
    return int(done.rpartition(" ")[2])


def _lock_of(token: Token) -> int:
    """Draw the number of the advisory lock: 64 bits, so that no two keys in use share it."""
    text = f"idempotency\0{token.namespace}\0{token.credential}\0{token.key}"
    return int.from_bytes(sha256(text.encode()).digest()[:8], signed=True)
