"""The audit log as tests meet it: what was written, and the sealing of it."""

from collections.abc import Sequence
from typing import Any

from asyncpg import Record

from scheduler_svc.domain.audit_chain import FIRST, SealKey, mark, seal, seal_key
from scheduler_svc.domain.ids import EPOCH
from scheduler_svc.store import audit
from scheduler_svc.store.pool import Pool, transaction

KEYS: tuple[SealKey, ...] = (seal_key("11111111", b"a" * 32),)


async def pending(pool: Pool) -> list[Record]:
    """Return what waits to be sealed, oldest first."""
    rows: list[Record] = await pool.fetch("SELECT * FROM audit_pending ORDER BY at, id")
    return rows


async def actions(pool: Pool) -> list[str]:
    """Return what was done, by the words of the entries that wait to be sealed."""
    return [row["action"] for row in await pending(pool)]


async def log(pool: Pool) -> list[Record]:
    """Return the sealed log in its order."""
    rows: list[Record] = await pool.fetch("SELECT * FROM audit_log ORDER BY seq")
    return rows


async def seal_pending(pool: Pool, keys: Sequence[SealKey] = ()) -> None:
    """Seal what waits, as a replica does."""
    async with transaction(pool) as conn:
        assert await audit.try_lock(conn)
        entries = await audit.take(conn, since=EPOCH, batch=10_000)
        before = (await audit.marks(conn)).get("head", FIRST)
        sealed = []
        for entry in entries:
            sealed.append(seal(entry, before, before.seq + 1, keys))
            before = sealed[-1].link
        await audit.append(conn, sealed)
        await audit.put_mark(conn, "head", mark("head", before, keys))


async def meddle(pool: Pool, *statements: str, args: tuple[Any, ...] = ()) -> None:
    """Change the log as someone does who owns the database: its triggers are off for that."""
    async with transaction(pool) as conn:
        await conn.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        for statement in statements:
            await conn.execute(statement, *args)
        await conn.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
