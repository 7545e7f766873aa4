"""Leaving politely towards a load balancer: not ready, each answer the last, then refused."""

import asyncio
import signal
from time import monotonic

import httpx2
import pytest

from commands import COMMAND, development, free_port, program


async def test_a_replica_that_leaves_answers_on_and_closes_each_connection(dsn: str) -> None:
    port = free_port()
    env = development(dsn, port, linger="5s")
    async with (
        program(*COMMAND, "serve", env=env) as running,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await running.line("API ")
        async with asyncio.timeout(20):
            # The first pass has no event by default.
            while (before := await http.get("/readyz")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "connection" not in before.headers
        told = monotonic()
        running.tell(signal.SIGTERM)
        async with asyncio.timeout(5):
            # It is told from outside: the order has no answer of its own.
            while (ready := await http.get("/readyz")).status_code != 503:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert ready.json()["checks"]["engine"]["status"] == "failed"
        lingering = await http.get("/jobs")
        assert (lingering.status_code, lingering.headers["connection"]) == (200, "close")
        assert await running.end() == 0
        assert monotonic() - told >= 5
        with pytest.raises(httpx2.ConnectError):
            await http.get("/healthz")


async def test_who_was_let_in_is_heard_after_the_port_is_closed(dsn: str) -> None:
    port = free_port()
    env = development(dsn, port, linger="2s")
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        running.tell(signal.SIGTERM)
        reading, writing = await last_connection(port)
        writing.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = await asyncio.wait_for(reading.read(), 10)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        writing.close()
        assert await running.end() == 0


async def last_connection(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that was let in shortly before the port was closed."""
    last = await asyncio.open_connection("127.0.0.1", port)
    while True:
        await asyncio.sleep(0.05)
        try:
            newer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return last
        last[1].close()
        last = newer
