"""The recording receiver, a process of its own: what came, and when, in a file that only grows.

    python tests/chaos/rig/receiver.py LOG      prints its port and serves until its input ends

`/wait/250` answers after 250 ms, `/status/503` with that status, `/flaky/503/2` so for the first
two attempts, `/hang` never; what follows the last of these parts is a name and means nothing. Two
lines a call, tab-separated, each written before anything else is done: `B` when its last byte is
in, with the monotonic and the wall clock, and `E` when it was answered or its caller had left.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

WANTED = (
    b"webhook-id",
    b"scheduler-attempt",
    b"scheduler-scheduled-for",
    b"idempotency-key",
    b"scheduler-job",
)
Log = Callable[..., None]


class Receiving(asyncio.Protocol):
    """One connection; calls on it are answered in turn."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._open: str | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._end("-")

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            lines = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
            fields = {name.lower(): value for name, _, value in lines}
            length = int(fields.get(b"content-length", b"0"))
            if len(self._data) < end + 4 + length:
                return
            self._data = self._data[end + 4 + length :]
            self._take(head.split(b" ", 2)[1].decode(), fields)

    def _take(self, path: str, fields: dict[bytes, bytes]) -> None:
        values = [fields.get(name, b"-").decode() for name in WANTED]
        self._open = f"{values[0]}/{values[1]}/{time.monotonic():.6f}"
        self._log("B", self._open, f"{time.time():.6f}", *values, path)
        parts = path.strip("/").split("/")
        if parts[0] == "hang":
            return
        wait = float(parts[1]) / 1000 if parts[0] == "wait" else 0.0
        status = 200
        if parts[0] == "status" or (parts[0] == "flaky" and int(values[1]) <= int(parts[2])):
            status = int(parts[1])
        self._timer = asyncio.get_running_loop().call_later(wait, self._answer, status)

    def _answer(self, status: int) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %d Said\r\nContent-Length: 2\r\n\r\nok" % status)
            self._end(str(status))

    def _end(self, said: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._open is not None:
            self._log("E", self._open, said)
            self._open = None


class Receiver:
    """A receiver that runs, and its log."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def receiving(log: Path) -> AsyncIterator[Receiver]:
    """Run a receiver until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        str(log),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield Receiver(int(await process.stdout.readline()), log)
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 5)
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _serve(path: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def log(kind: str, key: str, *more: str) -> None:
        line = "\t".join([kind, f"{time.monotonic():.6f}", key, *more])
        os.write(file, line.encode() + b"\n")

    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiving(log), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(sys.argv[1]))
