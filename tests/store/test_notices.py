"""Notices: told at commit, heard by every replica; with the connection cut, polling takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from scheduler_svc.store import notices
from scheduler_svc.store.pool import Pool, transaction

NAME = "notices test"


@asynccontextmanager
async def _listening(dsn: str) -> AsyncIterator["asyncio.Queue[tuple[str, str]]"]:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    task = asyncio.create_task(
        notices.listen(dsn, lambda *said: heard.put_nowait(said), application_name=NAME)
    )
    try:
        yield heard
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _next(heard: "asyncio.Queue[tuple[str, str]]", seconds: float = 5) -> tuple[str, str]:
    return await asyncio.wait_for(heard.get(), seconds)


async def test_on_connecting_it_asks_to_look_for_what_was_missed(dsn: str) -> None:
    async with _listening(dsn) as heard:
        assert await _next(heard) == ("wake", "0")


async def test_each_word_arrives_with_its_argument(dsn: str, pool: Pool) -> None:
    job, run = uuid4(), uuid4()
    async with _listening(dsn) as heard:
        await _next(heard)
        async with transaction(pool) as conn:
            await notices.wake(conn, 1_767_600_000_000)
            await notices.cancel(conn, run)
            await notices.edited(conn, job, timer_moved=True)
            await notices.edited(conn, job, timer_moved=False)
            await notices.secrets_changed(conn, "default")
            await notices.namespace_changed(conn, "team-a")
        assert [await _next(heard) for _ in range(6)] == [
            ("wake", "1767600000000"),
            ("cancel", str(run)),
            ("forget", str(job)),
            ("release", str(job)),
            ("secrets", "default"),
            ("namespace", "team-a"),
        ]


async def test_what_is_not_committed_is_not_heard(dsn: str, pool: Pool) -> None:
    async with _listening(dsn) as heard:
        await _next(heard)
        with suppress(KeyError):
            async with transaction(pool) as conn:
                await notices.wake(conn, 1)
                raise KeyError
        async with transaction(pool) as conn:
            await notices.wake(conn, 2)
        assert await _next(heard) == ("wake", "2")


async def test_a_cut_connection_is_opened_anew_and_asks_to_look_at_once(
    dsn: str, pool: Pool
) -> None:
    async with _listening(dsn) as heard:
        await _next(heard)
        await pool.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            NAME,
        )
        assert await _next(heard, 1) == ("wake", "0")  # the cut itself
        assert await _next(heard, 3) == ("wake", "0")  # the new connection
        async with transaction(pool) as conn:
            await notices.wake(conn, 7)
        assert await _next(heard) == ("wake", "7")


async def test_with_no_server_at_all_it_asks_to_look_every_second() -> None:
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    async with _listening(nowhere) as heard:
        assert [await _next(heard, 3) for _ in range(2)] == [("wake", "0")] * 2
