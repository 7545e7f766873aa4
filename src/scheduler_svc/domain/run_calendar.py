"""Runs a minute: which minute each run of a namespace may begin in, when its own is full.

Whole minutes by the clock, as cron and the forecast count them: the first so many runs of a minute
go at their instant, the others are laid out evenly over the next minute that has room. Runs of the
past have half of a minute at most, so that they do not push aside what is on time.
"""

import copy
from collections.abc import Sequence
from typing import Final

MINUTE_MS: Final = 60_000
MINUTES_MAX: Final = 1440
"""How far ahead a run may be put: a day."""
PAST_SHARE: Final = 2


class Calendar:
    """The coming minutes of one namespace, to be changed under the lock of its row."""

    def __init__(
        self, first: int = 0, given: Sequence[int] = (), past: Sequence[int] = (), *, now_ms: int
    ) -> None:
        behind = max(0, now_ms // MINUTE_MS - first)
        self.first = first + behind
        self.given = list(given)[behind:]
        self.past = list(past)[behind:]
        self.changed = False
        self._now_ms = now_ms
        self._full = 0
        """Minutes from the first that are known to have no room."""

    def copy(self) -> "Calendar":
        """Return another one that has given away the same."""
        other = copy.copy(self)
        other.given, other.past = list(self.given), list(self.past)
        return other

    def now(self) -> int:
        """Return how many runs the present minute has been given."""
        return self.given[0] if self.given else 0

    def take(self, at_ms: int, *, quota: int, until_ms: int) -> int | None:
        """Give a run its instant, before another; None, and nothing, where there is no room."""
        wanted = max(0, at_ms // MINUTE_MS - self.first)
        index = max(wanted, self._full) if wanted <= self._full else wanted
        while index < MINUTES_MAX and self._given(self.given, index) >= quota:
            index += 1
        if wanted <= self._full:
            self._full = index
        if index == wanted:
            instant = at_ms
        else:
            instant = self._laid_out(index, self._given(self.given, index), quota)
        if index >= MINUTES_MAX or instant >= until_ms:
            return None
        self._count(index)
        return instant

    def take_past(self, *, quota: int) -> int | None:
        """Give a run of the past its instant, from now on; None where a day has no room."""
        share = max(1, quota // PAST_SHARE)
        for index in range(MINUTES_MAX):
            before = self._given(self.past, index)
            if before < share and self._given(self.given, index) < quota:
                self._count(index, past=1)
                return self._now_ms if index == 0 else self._laid_out(index, before, share)
        return None

    def take_now(self, count: int, *, quota: int) -> int | None:
        """Give so many runs the present minute; else None after nothing, or the instant at which
        the next minute with room for them begins.
        """
        for index in range(MINUTES_MAX):
            if self._given(self.given, index) + count <= quota:
                if index:
                    return (self.first + index) * MINUTE_MS
                self._count(0, count)
                return None
        return (self.first + MINUTES_MAX) * MINUTE_MS

    def _laid_out(self, index: int, place: int, of: int) -> int:
        return (self.first + index) * MINUTE_MS + place * MINUTE_MS // of

    def _given(self, counts: list[int], index: int) -> int:
        return counts[index] if index < len(counts) else 0

    def _count(self, index: int, count: int = 1, *, past: int = 0) -> None:
        missing = index + 1 - len(self.given)
        if missing > 0:
            self.given += [0] * missing
            self.past += [0] * missing
        self.given[index] += count
        self.past[index] += past
        self.changed = True
