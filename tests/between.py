"""What stands between a caller and the service, and loses, cuts or relays what goes through it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from receiver import Behaviour, Received, Wire

DROPPED = frozenset({"host", "content-length", "connection", "transfer-encoding"})


def relayed(to: str, *, lost: bool = False) -> Behaviour:
    """Ask the service at this address, and hand its answer on; or let it get lost on its way."""

    async def behave(wire: Wire, received: Received) -> None:
        kept = {name: text for name, text in received.headers.items() if name not in DROPPED}
        async with httpx2.AsyncClient(base_url=to, timeout=30) as http:
            answer = await http.request(
                received.method, received.target, headers=kept, content=received.body
            )
        if lost:
            wire.reset()
            return
        lines = [f"{name}: {text}" for name, text in answer.headers.items() if name not in DROPPED]
        length = f"Content-Length: {len(answer.content)}"
        head = "\r\n".join([f"HTTP/1.1 {answer.status_code} Said", *lines, length, "", ""])
        await wire.send(head.encode("latin-1") + answer.content)

    return behave


class Line:
    """A line of connections to a port, byte by byte, that can be cut."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.port = 0
        self.opened = 0
        self._ends: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End all connections, in the middle of whatever they carry."""
        for end in list(self._ends):
            end.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        ends = {writer, far_writer}
        self._ends |= ends
        try:
            await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))
        finally:
            self._ends -= ends
            for end in ends:
                end.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def line(to: int) -> AsyncIterator[Line]:
    """Lay a line to a port of this machine until the block ends."""
    made = Line(to)
    async with await asyncio.start_server(made.serve, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made
        server.close()
        made.cut()
