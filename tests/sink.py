"""A fast receiver in a process of its own: it notes what came, when, and answers 200.

    python tests/sink.py      prints its port and serves until its input ends

`/wait/250` answers after 250 ms. `/taken` answers what came since the start, one line of
tab-separated fields a call: run id, attempt, scheduled-for, the machine's clock, the path. A call
that was still unanswered when its connection ended is noted all the same.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WANTED = (b"webhook-id", b"scheduler-attempt", b"scheduler-scheduled-for")


class Sink(asyncio.Protocol):
    """One connection; what came is shared by all."""

    def __init__(self, taken: list[str]) -> None:
        self._taken = taken
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            length = 0
            if (at := head.find(b"\r\ncontent-length:")) >= 0:
                length = int(head[at + 17 :].split(b"\r\n", 1)[0])
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        if path == "/taken":
            body = "\n".join(self._taken).encode()
            self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        fields = [lines.get(name, b"").decode() for name in WANTED]
        self._taken.append("\t".join([*fields, repr(time.time()), path]))
        if path.startswith("/wait/"):
            loop = asyncio.get_running_loop()
            loop.call_later(int(path[6:]) / 1000, self._write, OK)
        else:
            self._write(OK)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


@dataclass(frozen=True)
class Taken:
    """One call as the sink saw it."""

    run: UUID
    attempt: int
    scheduled_ms: float
    at_ms: float
    path: str


@dataclass(frozen=True)
class Sinking:
    """A sink that runs."""

    port: int

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def taken(self) -> list[Taken]:
        """Ask for all that came."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 26)
        writer.write(b"GET /taken HTTP/1.1\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        text = (await reader.readexactly(int(head.rsplit(b":", 1)[1]))).decode()
        writer.close()
        await writer.wait_closed()
        return [_taken(line) for line in text.splitlines()]

    async def has(self, count: int, seconds: float = 20) -> None:
        """Wait until so many calls came; raise TimeoutError after the time."""
        async with asyncio.timeout(seconds):
            # In another process: there is no event to wait for.
            while len(await self.taken()) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _taken(line: str) -> Taken:
    run, attempt, scheduled, at, path = line.split("\t")
    scheduled_ms = datetime.fromisoformat(scheduled.upper()).timestamp() * 1000
    return Taken(UUID(run), int(attempt), scheduled_ms, float(at) * 1000, path)


@asynccontextmanager
async def sinking() -> AsyncIterator[Sinking]:
    """Run a sink until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Sinking(int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _serve() -> None:
    taken: list[str] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(taken), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve())
