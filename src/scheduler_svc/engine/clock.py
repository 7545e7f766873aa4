"""The database's clock, as this replica knows it between two heartbeats.

Promises never to run ahead of the database (G3): of each exchange only the lower bound of the
offset is used, so an occurrence may go out a round trip late but never early. Replica wall clocks
do not count; they are only compared, for the metric.
"""

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Protocol

SAMPLES = 5
BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_monotonic: Callable[[], float] = (
    time.monotonic if BOOT_CLOCK is None else partial(time.clock_gettime, BOOT_CLOCK)
)
"""The clock since boot where there is one: a lease must not survive a suspended host."""


class Clock(Protocol):
    """What the engine asks of time; tests move one by hand."""

    def now_ms(self) -> int:
        """Return the database's time in epoch milliseconds, never ahead of it."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that no one sets."""
        ...

    def seconds_until(self, at_ms: int) -> float:
        """Return how long to sleep until an instant; zero or less where it has come."""
        ...


class DatabaseClock:
    """The offset between this process's monotonic clock and the database's clock."""

    def __init__(self) -> None:
        self._lows: deque[float] = deque(maxlen=SAMPLES)
        self._highs: deque[float] = deque(maxlen=SAMPLES)
        self._offset: float | None = None

    def observe(self, *, sent: float, received: float, now: datetime) -> float:
        """Take one reading, made between two monotonic instants; return how far it was set.

        The true offset lies between `now - received` and `now - sent`. A best lower bound above
        the new upper one means that the database's clock was set back (the answer is negative), a
        best upper bound below the new lower one that it was set forward: the past counts no more.
        """
        at = now.timestamp()
        low, high = at - received, at - sent
        stepped = 0.0
        if self._offset is not None:
            stepped = min(0.0, high - self._offset) or max(0.0, low - min(self._highs))
        if stepped:
            self._lows.clear()
            self._highs.clear()
        self._lows.append(low)
        self._highs.append(high)
        self._offset = max(self._lows)
        return stepped

    @property
    def known(self) -> bool:
        """Tell whether the database has been heard at all."""
        return self._offset is not None

    monotonic = staticmethod(_monotonic)
    """Return seconds on a clock that runs on while the machine is suspended."""

    def now_ms(self) -> int:
        """Return the database's time, at most a round trip behind it."""
        if self._offset is None:
            raise RuntimeError("the database's clock has not been read yet")
        return int((_monotonic() + self._offset) * 1000)

    def seconds_until(self, at_ms: int) -> float:
        """Return the seconds from now to an instant."""
        if self._offset is None:
            raise RuntimeError("the database's clock has not been read yet")
        return at_ms / 1000 - self._offset - _monotonic()

    def wall_offset_ms(self) -> float:
        """Return how far this host's wall clock is ahead of the database's, in milliseconds."""
        return time.time() * 1000 - self.now_ms()
