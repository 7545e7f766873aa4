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
