"""One claim after the other, each locked and decided while the one before it is being written.

Deciding takes this process, writing takes the database: in turns each would wait for the other.
Promises that no more than two are under way, that the second begins where the first came to, and
that none is left behind: its end, good or bad, is waited for.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from scheduler_svc.engine import behind, tick
from scheduler_svc.engine.parts import Parts
from scheduler_svc.engine.placing import is_short
from scheduler_svc.engine.tick import Scan
from scheduler_svc.store.timers import Mark

ROOM_SECONDS = 0.02
"""So long a pass waits for room at most, each time before it claims."""


class Chain:
    """The claims of one look at the timers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begun: asyncio.Task[Scan] | None = None
        """The claim that is not decided yet."""
        self._written: asyncio.Task[Scan] | None = None
        self._told: Scan | None = None
        """What the claim that is being written has said of itself."""
        self.broken = False
        """A claim was made anew, and came elsewhere than it had said, or left other timers."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is None:
            await self.end()
            return
        both = [task for task in (self._written, self._begun) if task is not None]
        if isinstance(error, asyncio.CancelledError):
            for task in both:
                task.cancel()
        for task in both:
            with suppress(Exception, asyncio.CancelledError):  # the first error says more
                await task

    async def room(self, reserved: int) -> int:
        """Return how many runs may be taken beside the reserved slots.

        Where that is little because calls of a quick key are yet to come back, it is waited for a
        moment: a look that ends for it costs as much as the batch that it could have had.
        """
        parts, now = self._parts, asyncio.get_running_loop().time
        until = now() + ROOM_SECONDS
        while True:
            parts.slots_free.clear()
            seconds = until - now()
            if seconds <= 0 or not is_short(parts):
                return parts.hand.free - reserved
            await parts.slots_free.wait(seconds)

    async def scan(self, after: Mark, before: Scan | None, *, room: int, portion: int) -> Scan:
        """Take the next timers; where those before were left for their key, read past what is too.

        Of what was taken it is known what was decided; `written` is empty, and not all may be held.
        """
        if before is not None and before.mostly_left:
            await self.end()
            return await behind.look_past(self._parts, before, room=room)
        told: asyncio.Future[Scan] = asyncio.get_running_loop().create_future()

        def tell(scan: Scan) -> None:
            if not told.done():
                told.set_result(scan)

        claim = tick.claim_timers(self._parts, after, room=room, portion=portion, told=tell)
        self._begun = task = asyncio.create_task(claim)
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        await self.end()
        self._written, self._begun = task, None
        self._told = told.result() if told.done() else await task
        if self._told.cut:
            await self.end()
        return self._told

    async def end(self) -> None:
        """Wait until all is written and held."""
        task, self._written = self._written, None
        if task is not None:
            scan = await task
            self.broken |= self._told is not None and _course(scan) != _course(self._told)


def _course(scan: Scan) -> tuple[object, ...]:
    """What the look goes by."""
    return scan.mark, scan.full, scan.deferred_ms, scan.left_ms
