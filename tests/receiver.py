"""A loopback receiver on raw sockets: it records every request and misbehaves on command.

Each path may be given a behaviour; the others answer 200. A behaviour gets the `Wire` and may write
anything, or nothing, or hang up. Nothing here parses with a library the service uses.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Received:
    """One request as it came in; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    raw: bytes
    connection: int
    at: float

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


class Wire:
    """One accepted connection, as a behaviour sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.closed = False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hang_up(self) -> None:
        """Close with a FIN once all is written."""
        self.closed = True
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Close with a RST."""
        self.closed = True
        peer: socket.socket = self.writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def peer_gone(self) -> None:
        """Wait until the other side closes; what it still sends is dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.closed = True

    async def read_head(self) -> Received | None:
        """Read the head of a request, or None where the other side is gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            return None
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        pairs = [line.split(": ", 1) for line in lines]
        headers = {name.lower(): value for name, value in pairs}
        return Received(method, target, headers, b"", head, self.number, time())

    async def read_body(self, head: Received) -> Received:
        body = await self.reader.readexactly(int(head.headers.get("content-length", "0")))
        return replace(head, body=body, raw=head.raw + body)


Behaviour = Callable[[Wire, Received], Awaitable[None]]


def answer(
    status: int = 200, body: bytes = b"ok", headers: dict[str, str] | None = None
) -> Behaviour:
    """Answer well-formed, with Content-Length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    return raw(head.encode("latin-1") + body)


def raw(data: bytes, *, then_close: bool = False) -> Behaviour:
    """Write these bytes, whatever they mean, and maybe hang up."""

    async def behave(wire: Wire, _: Received) -> None:
        await wire.send(data)
        if then_close:
            await wire.hang_up()

    return behave


def silence(before: bytes = b"") -> Behaviour:
    """Write this much and then nothing until the other side goes."""

    async def behave(wire: Wire, _: Received) -> None:
        await wire.send(before)
        await wire.peer_gone()

    return behave


def reset(before: bytes = b"") -> Behaviour:
    """Write this much, wait until it is on its way, and reset the connection."""

    async def behave(wire: Wire, _: Received) -> None:
        if before:
            await wire.send(before)
            await asyncio.sleep(0.05)  # a RST overtakes what was not read yet
        wire.reset()

    return behave


def endless(before: bytes, part: bytes, pause: float = 0.0) -> Behaviour:
    """Write a beginning and then the same part for ever, until the other side goes."""

    async def behave(wire: Wire, _: Received) -> None:
        await wire.send(before)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while not wire.writer.is_closing():
                await wire.send(part)
                await asyncio.sleep(pause)
        wire.closed = True

    return behave


def held(gate: asyncio.Event, then: Behaviour) -> Behaviour:
    """Behave only once the gate is open."""

    async def behave(wire: Wire, received: Received) -> None:
        await gate.wait()
        await then(wire, received)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave differently from request to request; the last stays."""
    left = list(behaviours)

    async def behave(wire: Wire, received: Received) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(wire, received)

    return behave


@dataclass
class Receiver:
    """A listening socket with the behaviours of its paths and the requests it got."""

    port: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    """Paths answered before the body is read."""
    default: Behaviour = field(default_factory=lambda: raw(OK))
    _serving: dict["asyncio.Task[None]", Wire] = field(default_factory=dict)
    _closing: bool = False
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, path: str = "/") -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{path}"

    def on(self, path: str, behaviour: Behaviour) -> str:
        """Give a path its behaviour and answer its URL."""
        self.behaviours[path] = behaviour
        return self.url(path)

    async def wait_for(self, count: int, path: str | None = None) -> list[Received]:
        """Wait until so many requests came (to that path); the caller bounds the wait."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.of(path)) >= count)
        return self.of(path)

    def of(self, path: str | None) -> list[Received]:
        return [one for one in self.requests if path is None or one.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer, self.connections)
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = wire
        try:
            while not wire.closed and (received := await wire.read_head()) is not None:
                if received.path not in self.early:
                    received = await wire.read_body(received)
                self.requests.append(received)
                async with self._news:
                    self._news.notify_all()
                await self.behaviours.get(received.path, self.default)(wire, received)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the other side may go at any time
        except asyncio.CancelledError:
            if not self._closing:
                raise
        finally:
            del self._serving[task]
            writer.transport.abort()

    def cut(self) -> None:
        """End every connection at once."""
        for wire in list(self._serving.values()):
            wire.closed = True
            wire.writer.transport.abort()

    async def end(self) -> None:
        """Let nothing of the receiver outlive it."""
        self._closing = True
        self.cut()
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def receiving(
    *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[Receiver]:
    """Listen on the loopback, on a free port unless one is named, until the block ends."""
    receiver = Receiver(host=host, scheme="https" if tls else "http")
    server = await asyncio.start_server(receiver.serve, host, port, ssl=tls, limit=1 << 20)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.end()
