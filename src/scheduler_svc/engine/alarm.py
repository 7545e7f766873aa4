"""A sleep that can be cut short, where a ring before the sleep is not lost."""

import asyncio


class Alarm:
    """Clear it before looking for work, wait on it after: a ring in between ends the wait."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        """End the present wait, or the next one."""
        self._event.set()

    def clear(self) -> None:
        """Forget earlier rings; to be called before looking for work, never after."""
        self._event.clear()

    async def wait(self, seconds: float | None) -> None:
        """Sleep so long, or until rung; None sleeps until rung."""
        if self._event.is_set():
            return
        if seconds is None:
            await self._event.wait()
        elif seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._event.wait()
            except TimeoutError:
                pass
