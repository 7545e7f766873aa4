"""What a session asks for at start-up is what docs/operations.md tells a pooler to let pass."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from scheduler_svc.store import migrate, notices
from scheduler_svc.store.pool import BY_KEY, close_pool, open_pool

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
KNOWN = {"user", "database", "application_name", "client_encoding", "timezone", "datestyle"}
"""What PgBouncer keeps for each client by itself."""


async def pool(dsn: str) -> None:
    await close_pool(
        await open_pool(dsn, application_name="test", planner=BY_KEY, connect_seconds=10)
    )


async def listener(dsn: str) -> None:
    await notices.listen(dsn, lambda *_: None, application_name="test")


async def migration(dsn: str) -> None:
    await migrate.migrate(dsn)


@pytest.mark.parametrize("session", [pool, listener, migration])
async def test_a_session_asks_for_no_more_at_its_start_than_a_pooler_is_told(
    session: Callable[[str], Awaitable[None]],
) -> None:
    asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Length, version, and names and values, each ended by a zero byte.
        length = int.from_bytes(await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if not asked.done():
            asked.set_result(body[4:])
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        asking = asyncio.ensure_future(
            session(f"postgresql://someone@127.0.0.1:{port}/x?sslmode=disable")
        )
        packet = await asyncio.wait_for(asked, 30)
        asking.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await asking
    names = {name.decode().lower() for name in packet.rstrip(b"\0").split(b"\0")[::2]}
    told = re.search(r"`ignore_startup_parameters = ([^`]+)`", PAGE)
    assert told is not None
    assert "user" in names
    assert names - KNOWN <= set(re.split(r",\s+", told[1]))
