"""How several replicas under one command tell each other their figures.

They share a port, so a scrape meets one of them at random; each holds a socket to the process that
started them, and whichever is asked gathers from all through it. Promises an answer within
ANSWER_SECONDS, with those that are silent named; keeps nothing.
"""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from scheduler_svc.telemetry.scrape import Scrape
from scheduler_svc.telemetry.tally import Snapshot

ANSWER_SECONDS = 2.0
FRAME_MAX = 16 * 1024 * 1024
LENGTH_BYTES = 4


class Word(msgspec.Struct, frozen=True, array_like=True):
    """One message: `all` asks the starter for everyone's figures, `these` brings them; `own` asks
    a worker for its figures, `mine` brings them.
    """

    kind: str
    number: int
    figures: bytes | None = None
    others: dict[str, bytes | None] = {}


_WORDS = msgspec.msgpack.Decoder(Word)
_SNAPSHOTS = msgspec.msgpack.Decoder(Snapshot)
Asked = dict[int, "asyncio.Future[Any]"]


class _End:
    """One end of a socket that carries words."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> Word | None:
        """Return the next word; None once the other side is gone."""
        try:
            length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
            if length > FRAME_MAX:
                return None
            return _WORDS.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None

    def write(self, word: Word) -> None:
        """Send a word; one that comes too late for the other side is lost without harm."""
        frame = msgspec.msgpack.encode(word)
        if not self._writer.is_closing():
            self._writer.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)

    def close(self) -> None:
        self._writer.close()


class Siblings:
    """A worker's end: answers for its own figures, and asks for those of all."""

    def __init__(self, number: int) -> None:
        self._socket = socket.socket(fileno=number)
        self._socket.set_inheritable(False)
        self._end: _End | None = None
        self._asked: Asked = {}
        self._turn = itertools.count()

    async def answer(self, own: Callable[[], Snapshot]) -> None:
        """Tell our figures whenever asked, until the starter is gone."""
        self._end = end = _End(*await asyncio.open_unix_connection(sock=self._socket))
        try:
            while (word := await end.read()) is not None:
                if word.kind == "own":
                    figures = msgspec.msgpack.encode(own())
                    end.write(Word("mine", word.number, figures))
                elif (asked := self._asked.get(word.number)) is not None and not asked.done():
                    asked.set_result(word.others)
        finally:
            self._end = None
            end.close()

    async def gather(self) -> dict[str, Snapshot | None]:
        """Return the figures of every worker; raise TimeoutError where the starter is silent."""
        if self._end is None:
            raise TimeoutError("the other replicas can not be asked")
        number = next(self._turn)
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._end.write(Word("all", number))
            async with asyncio.timeout(2 * ANSWER_SECONDS):
                others: dict[str, bytes | None] = await asked
        finally:
            del self._asked[number]
        return {
            name: None if one is None else _SNAPSHOTS.decode(one) for name, one in others.items()
        }


class Hub:
    """The starter's side: asks every worker when one of them wants to know."""

    def __init__(self, ends: list[socket.socket]) -> None:
        self._sockets = ends
        self._ends: list[_End] = []
        self._asked: Asked = {}
        self._turn = itertools.count()

    async def run(self) -> None:
        """Pass figures on until every worker is gone, or cancelled."""
        self._ends = [_End(*await asyncio.open_unix_connection(sock=one)) for one in self._sockets]
        try:
            async with asyncio.TaskGroup() as tasks:
                for end in self._ends:
                    tasks.create_task(self._listen(end, tasks))
        finally:
            for end in self._ends:
                end.close()

    async def _listen(self, end: _End, tasks: asyncio.TaskGroup) -> None:
        while (word := await end.read()) is not None:
            if word.kind == "all":
                tasks.create_task(self._all(end, word.number))
            elif (asked := self._asked.get(word.number)) is not None and not asked.done():
                asked.set_result(word.figures)

    async def _all(self, end: _End, number: int) -> None:
        """Ask every worker, the one that wants to know included."""
        asked = {next(self._turn): one for one in self._ends}
        for turn, one in asked.items():
            self._asked[turn] = asyncio.get_running_loop().create_future()
            one.write(Word("own", turn))
        waiting = [self._asked[turn] for turn in asked]
        await asyncio.wait(waiting, timeout=ANSWER_SECONDS)
        for turn in asked:
            del self._asked[turn]
        others = {str(n): one.result() if one.done() else None for n, one in enumerate(waiting)}
        end.write(Word("these", number, others=others))


@asynccontextmanager
async def gathering(scrape: Scrape, siblings: Siblings | None) -> AsyncIterator[None]:
    """Let a scrape gather from all workers while the block runs; alone there is nobody to ask."""
    if siblings is None:
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(siblings.answer(scrape.own), name="siblings")
        scrape.gather = siblings.gather
        try:
            yield
        finally:
            scrape.gather = None
            answering.cancel()
