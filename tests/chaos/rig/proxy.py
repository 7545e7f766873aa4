"""A TCP proxy that breaks what passes through it, as told: the network between two parties.

Delay with jitter, stalls in one direction or both, resets, half-closed connections, a cut after so
many bytes, slices, a throttle, refusal of new connections, another upstream. `up` is from the one
who connects. What is drawn is drawn from a seed. It understands nothing of what it carries.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

Way = Literal["up", "down"]
BOTH: frozenset[Way] = frozenset({"up", "down"})
PIECE = 65_536


@dataclass(frozen=True)
class Toxics:
    """What is wrong with the line just now; times in milliseconds."""

    stalled: frozenset[Way] = frozenset()
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    slice_bytes: int = 0
    bytes_per_second: float = 0.0
    cut_after_bytes: int = 0
    refuses: bool = False


@dataclass(eq=False)
class Link:
    """One connection: both of its halves, and how much has passed."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    passed: int = 0

    def reset(self) -> None:
        """End both halves with a RST."""
        for writer in (self.near, self.far):
            if (peer := writer.get_extra_info("socket")) is not None:
                linger = struct.pack("ii", 1, 0)
                with contextlib.suppress(OSError):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


@dataclass
class Proxy:
    """A proxy that listens; steer it by `set`, `reset`, `half_close` and `retarget`."""

    upstream: tuple[str, int]
    draw: Random
    port: int = 0
    toxics: Toxics = field(default_factory=Toxics)
    links: set[Link] = field(default_factory=set)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def set(self, **toxics: object) -> None:
        """Change what is wrong; what is not named stays."""
        self.toxics = replace(self.toxics, **toxics)  # type: ignore[arg-type]
        async with self._news:
            self._news.notify_all()

    async def heal(self) -> None:
        """Let everything pass again."""
        self.toxics = Toxics()
        async with self._news:
            self._news.notify_all()

    def reset(self) -> None:
        """End every connection with a RST; new ones are taken."""
        for link in list(self.links):
            link.reset()

    def half_close(self) -> None:
        """Say to each upstream that no more will come, and let its answers pass."""
        for link in list(self.links):
            with contextlib.suppress(OSError):
                link.far.write_eof()

    def retarget(self, upstream: tuple[str, int]) -> None:
        """Carry new connections elsewhere, and end those there are."""
        self.upstream = upstream
        self.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self.toxics.refuses:
                await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side may go at any time, and so may we
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self.upstream)
        link = Link(writer, far_writer)
        self.links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(link, reader, far_writer, "up"))
                both.create_task(self._pump(link, far_reader, writer, "down"))
        except* OSError:
            pass
        finally:
            self.links.discard(link)
            far_writer.transport.abort()

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way
    ) -> None:
        while data := await reader.read(self.toxics.slice_bytes or PIECE):
            toxics = self.toxics
            if toxics.delay_ms or toxics.jitter_ms:
                await asyncio.sleep((toxics.delay_ms + self.draw.random() * toxics.jitter_ms) / 1e3)
            if toxics.bytes_per_second:
                await asyncio.sleep(len(data) / toxics.bytes_per_second)
            async with self._news:
                await self._news.wait_for(lambda: way not in self.toxics.stalled)
            link.passed += len(data)
            if 0 < self.toxics.cut_after_bytes <= link.passed:
                link.reset()
                return
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def end(self) -> None:
        """Let no connection outlive the proxy."""
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxying(upstream: tuple[str, int], *, seed: int) -> AsyncIterator[Proxy]:
    """Listen on the loopback until the block ends."""
    proxy = Proxy(upstream, Random(seed))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
