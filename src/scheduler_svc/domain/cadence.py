"""The three kinds of schedule as sources of instants: cron, every, at.

Promises the same three questions for each. Instants are epoch milliseconds; exclusions, `start`
and `end` are not known here (`occurrences` has them).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol

from scheduler_svc.domain import dst
from scheduler_svc.domain.cron_count import Ruled, count, is_empty
from scheduler_svc.domain.cron_pattern import DAY_SECONDS, Pattern
from scheduler_svc.domain.zones import Zone


class Cadence(Protocol):
    """Instants without end, or with one."""

    def next_from(self, instant: int) -> int | None:
        """Return the first instant at or after this one."""

    def last_until(self, instant: int) -> int | None:
        """Return the last instant at or before this one."""

    def count(self, low: int, high: int) -> int:
        """Count the instants in [low, high)."""


class CronCadence:
    """The union of some expressions in one zone."""

    __slots__ = ("expressions", "zone")

    def __init__(self, expressions: Sequence[Ruled], zone: Zone) -> None:
        self.expressions = tuple(expressions)
        self.zone = zone

    def next_from(self, instant: int) -> int | None:
        """Return the first instant at or after this one."""
        second = -(-instant // 1000)
        if len(self.expressions) == 1:
            times, rules = self.expressions[0]
            found = dst.next_from(times, rules, self.zone, second)
            return None if found is None else found * 1000
        each = (dst.next_from(*one, self.zone, second) for one in self.expressions)
        return min((found * 1000 for found in each if found is not None), default=None)

    def last_until(self, instant: int) -> int | None:
        """Return the last instant at or before this one."""
        second = instant // 1000
        each = (dst.last_until(*one, self.zone, second) for one in self.expressions)
        return max((found * 1000 for found in each if found is not None), default=None)

    def skip_empty_day(self, excluded: Sequence[Pattern], instant: int) -> int:
        """Return the end of an instant's local day if exclusions empty it, else the instant."""
        second = instant // 1000
        piece = self.zone.piece_at(second)
        day = (second + piece.offset) // DAY_SECONDS
        if not is_empty([one.times for one in self.expressions], excluded, day):
            return instant
        return max(instant, 1000 * min(piece.end, (day + 1) * DAY_SECONDS - piece.offset))

    def count(self, low: int, high: int) -> int:
        """Count the instants in [low, high)."""
        return self.count_without((), low, high)

    def count_without(self, excluded: Sequence[Pattern], low: int, high: int) -> int:
        """Count the instants in [low, high) that no exclusion removes."""
        return count(self.expressions, excluded, self.zone, -(-low // 1000), -(-high // 1000))


class EveryCadence:
    """Elapsed time from an anchor, the anchor included; nothing lies before it."""

    __slots__ = ("anchor", "period")

    def __init__(self, anchor: int, period: int) -> None:
        self.anchor = anchor
        self.period = period

    def next_from(self, instant: int) -> int:
        """Return the first instant at or after this one."""
        return self.anchor + self._index(instant) * self.period

    def last_until(self, instant: int) -> int | None:
        """Return the last instant at or before this one."""
        if instant < self.anchor:
            return None
        return instant - (instant - self.anchor) % self.period

    def count(self, low: int, high: int) -> int:
        """Count the instants in [low, high)."""
        return max(self._index(high) - self._index(low), 0)

    def _index(self, instant: int) -> int:
        return max(-(-(instant - self.anchor) // self.period), 0)


class AtCadence:
    """A list of instants."""

    __slots__ = ("instants",)

    def __init__(self, instants: Sequence[int]) -> None:
        self.instants = sorted(set(instants))

    def next_from(self, instant: int) -> int | None:
        """Return the first instant at or after this one."""
        index = bisect_left(self.instants, instant)
        return self.instants[index] if index < len(self.instants) else None

    def last_until(self, instant: int) -> int | None:
        """Return the last instant at or before this one."""
        index = bisect_right(self.instants, instant)
        return self.instants[index - 1] if index else None

    def count(self, low: int, high: int) -> int:
        """Count the instants in [low, high)."""
        return bisect_left(self.instants, high) - bisect_left(self.instants, low)
