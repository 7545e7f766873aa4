"""Bytes as an attacker sends them, over a real socket, to the real server and application."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from scheduler_svc.service.connection import Bounds
from scheduler_svc.service.server import Server

SECONDS = 10.0
LAST = (
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: last\r\nConnection: close\r\n\r\n"
)


@dataclass(frozen=True)
class Answered:
    """One answer: its status, its fields by lower-case name, its body."""

    status: int
    fields: dict[str, str]
    body: bytes


class Wire:
    """One connection, written to as it comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, method: str = "GET") -> Answered | None:
        """Read the next answer; None where the connection ends instead."""
        try:
            async with asyncio.timeout(SECONDS):
                head = await self._reader.readuntil(b"\r\n\r\n")
                first, *lines = head[:-4].decode("latin-1").split("\r\n")
                pairs = [line.partition(":") for line in lines]
                fields = {name.lower(): text.strip() for name, _, text in pairs}
                length = 0 if method == "HEAD" else int(fields.get("content-length", 0))
                return Answered(
                    int(first.split()[1]), fields, await self._reader.readexactly(length)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def until(self, text: bytes) -> None:
        """Read up to a text, which has to come."""
        async with asyncio.timeout(SECONDS):
            await self._reader.readuntil(text)

    async def answers(self) -> list[Answered]:
        """Read all answers until the other side closes."""
        found = []
        while (one := await self.answer()) is not None:
            found.append(one)
        return found

    async def ends(self, seconds: float = SECONDS) -> bool:
        """Tell whether the other side closes within a while, whatever it says before."""
        try:
            async with asyncio.timeout(seconds):
                while await self._reader.read(65536):
                    pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True

    def look_away(self) -> None:
        """Read nothing any more, so that what is sent to us piles up."""
        self._transport().pause_reading()

    def look_again(self) -> None:
        self._transport().resume_reading()

    def _transport(self) -> asyncio.ReadTransport:
        assert isinstance(self._writer.transport, asyncio.ReadTransport)
        return self._writer.transport

    def close(self) -> None:
        self._writer.transport.abort()


class Place:
    """Where the server listens."""

    def __init__(self, port: int) -> None:
        self.port = port

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        opened = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        try:
            yield opened
        finally:
            opened.close()

    async def ask(self, data: bytes) -> list[Answered]:
        """Send bytes and then a last request; return the answers that come before its own.

        Where the bytes were taken for another number of requests than there are answers, it shows.
        """
        async with self.wire() as wire:
            await wire.send(data + LAST)
            found = await wire.answers()
        if found and found[-1].fields.get("x-request-id") == "last":
            return found[:-1]
        assert not found or found[-1].fields.get("connection") == "close", found
        return found


@asynccontextmanager
async def listening(app: ASGIApp, bounds: Bounds | None = None) -> AsyncIterator[Place]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(app, None, bounds)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            try:
                yield Place(listener.getsockname()[1])
            finally:
                server.end()
                server.force_exit = True
