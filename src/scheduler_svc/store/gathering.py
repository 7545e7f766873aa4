"""What several callers ask of the database at once, asked by one statement.

Promises each caller what the database held after he had asked, within the time that a use of a
connection has: who comes while a statement is under way is in the next one. Who has gone is left
out. Where a statement does no harm by being repeated, what fails for one caller's time being over
fails for him alone, and a connection that broke is tried once more; else what is unsure is told to
all who were in it. An answer that is an exception is raised to its own caller.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, Generic, TypeVar

import msgspec

from scheduler_svc.store.away import is_worth_one_more
from scheduler_svc.store.pool import CALL_SECONDS, Connection, Pool, connection

LANES = 2
"""Statements under way at once: one is written and answered while the other gathers."""
BATCH_MAX = 64
TOO_LATE = "the database did not answer in time"
Asks = TypeVar("Asks")
Gets = TypeVar("Gets")


class _Asked(msgspec.Struct):
    """What one caller asks, and until when he waits, on the loop's clock."""

    what: Any
    deadline: float
    answer: Any  # a future, which is generic to the type checker only
    tried: bool = False


class Gathering(Generic[Asks, Gets]):
    """Gathers what is asked in one turn of the loop, and while statements are under way."""

    def __init__(
        self,
        pool: Pool,
        ask: Callable[[Connection, Sequence[Asks]], Awaitable[Sequence[Gets | Exception]]],
        *,
        repeats: bool,
        seconds: float = CALL_SECONDS,
        lanes: int = LANES,
    ) -> None:
        self._pool, self._ask, self._repeats = pool, ask, repeats
        self._seconds, self._lanes_max = seconds, lanes
        self._waiting: list[_Asked] = []
        self._lanes: set[asyncio.Task[None] | None] = set()

    async def get(self, what: Asks) -> Gets:
        """Return the answer for one; raise what a connection of one's own would have raised."""
        loop = asyncio.get_running_loop()
        asked = _Asked(what, loop.time() + self._seconds, loop.create_future())
        self._waiting.append(asked)
        if len(self._lanes) < self._lanes_max:
            # Of no request: what is logged there would else bear the ids of the first.
            self._lanes.add(loop.create_task(self._lane(), name="gathering", context=Context()))
        answer: Gets = await asked.answer
        return answer

    async def _lane(self) -> None:
        """Ask until nobody waits."""
        try:
            while self._waiting:
                await self._next()
        finally:
            # Now: who asks before the loop has heard of this task's end needs another one.
            self._lanes.discard(asyncio.current_task())

    async def _next(self) -> None:
        """Ask for the next batch; who has gone, or waited as long as he may, is left out."""
        now, first = asyncio.get_running_loop().time(), self._waiting[:BATCH_MAX]
        self._waiting = self._waiting[BATCH_MAX:]
        for late in first:
            if late.deadline <= now:
                _tell(late, TimeoutError(TOO_LATE))
        if not (batch := [asked for asked in first if not asked.answer.done()]):
            return
        try:
            left = min(asked.deadline for asked in batch) - now
            async with connection(self._pool, seconds=left) as conn:
                answers = await self._ask(conn, [asked.what for asked in batch])
        except BaseException as error:
            self._waiting[:0] = self._failed(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for asked, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    _tell(asked, answer)
                elif not asked.answer.done():
                    asked.answer.set_result(answer)

    def _failed(self, batch: Sequence[_Asked], error: BaseException) -> list[_Asked]:
        """Tell those for whom it ends by this; return those who are asked for again."""
        now, again = asyncio.get_running_loop().time(), []
        for asked in batch:
            if not (self._repeats and asked.deadline > now and isinstance(error, Exception)):
                _tell(asked, error)
            elif isinstance(error, TimeoutError):
                again.append(asked)  # it was the time of another
            elif not asked.tried and is_worth_one_more(error):
                asked.tried = True
                again.append(asked)
            else:
                _tell(asked, error)
        return again


def _tell(asked: _Asked, error: BaseException) -> None:
    if asked.answer.done():
        return  # he has gone
    if isinstance(error, Exception):
        asked.answer.set_exception(error)
    else:
        asked.answer.cancel()
