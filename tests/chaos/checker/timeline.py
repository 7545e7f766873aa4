"""From the machine's monotonic clock, which all processes share, to the database's clock.

The driver asks the database for its time again and again: each answer bounds the offset from both
sides. Answers that agree make one stretch; where they can not, the clock was stepped, and between
two stretches an instant has all of the doubt of both.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Stretch:
    """From a monotonic instant to another, the offset lay between these; all in milliseconds."""

    begin: float
    end: float
    low: float
    high: float


class Timeline:
    """What the database's clock showed at a monotonic instant, within bounds."""

    def __init__(self, readings: Iterable[tuple[float, float, float]]) -> None:
        """Take readings: asked and answered on the monotonic clock, and the database's time."""
        self.stretches: list[Stretch] = []
        for asked, answered, database in sorted(readings):
            low, high = database - answered, database - asked
            last = self.stretches[-1] if self.stretches else None
            if last is not None and max(last.low, low) <= min(last.high, high):
                last.low, last.high = max(last.low, low), min(last.high, high)
                last.end = answered
            else:
                self.stretches.append(Stretch(asked, answered, low, high))
        self._begins = [one.begin for one in self.stretches]

    def bounds(self, at: float) -> tuple[float, float]:
        """Return the earliest and the latest the database's clock can have shown."""
        if not self.stretches:
            raise ValueError("the database's clock was never read")
        place = max(0, bisect_right(self._begins, at) - 1)
        here = self.stretches[place]
        if at <= here.end or place + 1 == len(self.stretches):
            return at + here.low, at + here.high
        following = self.stretches[place + 1]
        return at + min(here.low, following.low), at + max(here.high, following.high)

    def latest(self, at: float) -> float:
        """Return the upper bound: what is early by it, is early."""
        return self.bounds(at)[1]

    @property
    def steps(self) -> int:
        """How often the clock was set."""
        return max(0, len(self.stretches) - 1)
