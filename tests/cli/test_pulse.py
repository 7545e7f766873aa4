"""Signs of life: what systemd and a dead man's switch hear from a running replica, and when not."""

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

from commands import COMMAND, call, development, free_port, program
from processes import frozen
from scheduler_svc.store import embedded, migrate


async def test_systemd_hears_ready_then_signs_of_life_then_stopping(
    dsn: str, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        loop = asyncio.get_running_loop()

        async def heard() -> str:
            async with asyncio.timeout(20):
                return (await loop.sock_recv(manager, 100)).decode()

        env = development(dsn, free_port()) | {
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "600000",
        }
        async with program(*COMMAND, "serve", env=env) as running:
            assert await heard() == "READY=1"
            assert [await heard() for _ in range(3)] == ["WATCHDOG=1"] * 3
            running.tell(signal.SIGTERM)
            while (word := await heard()) == "WATCHDOG=1":
                pass
            assert word == "STOPPING=1"
            assert await running.end() == 0


class Switch:
    """A dead man's switch: it counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self._news = asyncio.Condition()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                async with self._news:
                    self.asked += 1
                    self._news.notify_all()
        writer.close()

    async def has(self, count: int) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.asked >= count)


async def test_a_dead_mans_switch_is_asked_only_while_the_replica_can_fire() -> None:
    switch = Switch()
    listening = await asyncio.start_server(switch.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with embedded.throw_away() as server, contextlib.closing(listening):
        await migrate.migrate(server.dsn)
        times = {"ping_every": "1s", "lease": "3s", "heartbeat": "500ms"}
        env = development(
            server.dsn, free_port(), ping_url=f"http://127.0.0.1:{port}/alive", **times
        )
        async with program(*COMMAND, "serve", env=env) as running:
            await switch.has(2)
            with frozen(server.pid):
                await running.line("lease.lost")
                before = switch.asked
                await asyncio.sleep(3)  # three would have come
                assert switch.asked <= before + 1
            await switch.has(before + 3)


async def test_a_switch_that_is_down_is_said_once_and_ends_nothing(dsn: str) -> None:
    env = development(dsn, free_port(), ping_url="http://127.0.0.1:1/x", ping_every="1s")
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("ping.failed")
        await asyncio.sleep(2)  # two more fail meanwhile
        assert running.output.count("ping.failed") == 1
        running.tell(signal.SIGTERM)
        assert await running.end() == 0


async def test_an_address_that_is_none_is_refused_at_start(dsn: str) -> None:
    code, told = await call("serve", env=development(dsn, free_port(), ping_url="nowhere"))
    assert code == 2
    assert "SCHEDULER_PING_URL: must begin with http:// or https:// and a host" in told
