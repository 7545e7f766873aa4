"""A sleep that can be cut short, where a ring before the sleep is not lost."""

import asyncio

from scheduler_svc.store.chime import Turn, until_chime


class Alarm:
    """Clear it before looking for work, wait on it after: a ring in between ends the wait.

    At a steady load the sender sleeps once a fire, so a sleep is a future and a timer of the loop,
    and no scope of a time-out around an event.
    """

    def __init__(self) -> None:
        self._rung = False
        self._sleeping: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        """End the present wait, or the next one."""
        self._rung = True
        for sleep in self._sleeping:
            _end(sleep)

    def clear(self) -> None:
        """Forget earlier rings; to be called before looking for work, never after."""
        self._rung = False

    async def wait(self, seconds: float | None) -> None:
        """Sleep so long, or until rung; None sleeps until rung."""
        if self._rung or (seconds is not None and seconds <= 0):
            return
        loop = asyncio.get_running_loop()
        sleep = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _end, sleep)
        self._sleeping.add(sleep)
        try:
            await sleep
        finally:
            self._sleeping.discard(sleep)
            if timer is not None:
                timer.cancel()

    async def rest(self, seconds: float, turn: Turn) -> None:
        """Sleep until the last chime within so many seconds, or until rung."""
        await self.wait(until_chime(asyncio.get_running_loop().time(), seconds, turn))


async def rest(seconds: float, turn: Turn) -> None:
    """Sleep until the last chime within so many seconds: between looks made about so often."""
    await asyncio.sleep(until_chime(asyncio.get_running_loop().time(), seconds, turn))


def _end(sleep: asyncio.Future[None]) -> None:
    if not sleep.done():
        sleep.set_result(None)
