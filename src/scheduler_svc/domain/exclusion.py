"""What a schedule leaves out: windows of time, and cron expressions read on the wall clock.

Promises to say, for a blocked instant, how far the block reaches, so that a long one is passed in
few steps. An expression of five fields blocks whole minutes, one with seconds whole seconds; both
passes of a repeated hour are blocked alike. Instants are epoch milliseconds.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.cron_pattern import Pattern
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.schedule import Window
from scheduler_svc.domain.zones import Zone

Span = tuple[int, int]
"""A stretch of time [low, high)."""
WHOLE_MINUTE: Final = (1 << 60) - 1
_DAY_MINUTES: Final = 1440


class Exclusion:
    """Everything that a schedule excludes."""

    __slots__ = ("_day", "_starts", "patterns", "windows", "zone")

    def __init__(self, windows: Iterable[Span], patterns: Sequence[Pattern], zone: Zone) -> None:
        self.windows = _merged(windows)
        self._starts = [low for low, _ in self.windows]
        self.patterns = tuple(patterns)
        self.zone = zone
        self._day = -1, _minutes_of_day(frozenset())

    def __bool__(self) -> bool:
        return bool(self.windows or self.patterns)

    def block_around(self, instant: int) -> Span | None:
        """Return a blocked span that holds an instant, or None when the instant is free."""
        index = bisect_right(self._starts, instant) - 1
        spans = []
        if index >= 0 and instant < self.windows[index][1]:
            spans.append(self.windows[index])
        if self.patterns:
            spans += self._pattern_blocks(instant // 1000)
        if not spans:
            return None
        return min(low for low, _ in spans), max(high for _, high in spans)

    def next_block(self, instant: int) -> int | None:
        """Return a bound, after a free instant, up to which nothing is blocked; None: for ever."""
        index = bisect_right(self._starts, instant)
        bounds = self._starts[index : index + 1]
        if self.patterns:
            piece = self.zone.piece_at(instant // 1000)
            local = instant // 1000 + piece.offset
            each = (pattern.next_from(local) for pattern in self.patterns)
            bounds += [(found - piece.offset) * 1000 for found in each if found is not None]
            bounds.append(piece.end * 1000)
        return min(bounds, default=None)

    def free_spans(self, low: int, high: int) -> Iterable[Span]:
        """Yield what the windows leave of [low, high)."""
        for start, end in self.windows:
            if start >= high:
                break
            if low < start:
                yield low, start
            low = max(low, end)
        if low < high:
            yield low, high

    def blocked_seconds(self, minute: int) -> int:
        """Return the seconds of a minute that expressions block, a bit for each.

        Minutes are counted from 1970-01-01T00:00Z; windows are not in it.
        """
        first = minute * 60
        piece = self.zone.piece_at(first)
        if piece.end < first + 60:
            blocked = (any(self._pattern_blocks(second)) for second in range(first, first + 60))
            return sum(1 << place for place, one in enumerate(blocked) if one)
        local, into = divmod(first + piece.offset, 60)
        if not into:
            return self._of_minute(local)
        # Of an offset with seconds in it, as some had until 1972, a minute has parts of two.
        return (
            self._of_minute(local) >> into | self._of_minute(local + 1) << 60 - into & WHOLE_MINUTE
        )

    def _of_minute(self, local: int) -> int:
        """Return the blocked seconds of a minute of the wall clock; remembers the day."""
        day, place = divmod(local, _DAY_MINUTES)
        known, minutes = self._day
        if day != known:
            minutes = _minutes_of_day(frozenset(one for one in self.patterns if one.has_day(day)))
            self._day = day, minutes
        return minutes[place]

    def _pattern_blocks(self, second: int) -> Iterable[Span]:
        piece = self.zone.piece_at(second)
        local = second + piece.offset
        for pattern in self.patterns:
            if pattern.matches(local):
                low, high = pattern.run_around(local)
                start = max(piece.start, low - piece.offset)
                yield start * 1000, min(piece.end, high - piece.offset) * 1000


def excluding(entries: Sequence[str | Window], job_id: UUID, place: Zone) -> Exclusion:
    """Compile what a schedule excludes; the job's id matters to `H` alone.

    Raises CronFault for what `schedule_check.check` would have refused.
    """
    windows = [
        (epoch_ms(entry.from_), epoch_ms(entry.to))
        for entry in entries
        if not isinstance(entry, str)
    ]
    patterns = [compile_cron(entry, job_id) for entry in entries if isinstance(entry, str)]
    return Exclusion(windows, patterns, place)


@lru_cache(maxsize=64)
def nothing(place: Zone) -> Exclusion:
    """What nearly every schedule excludes; shared, for it keeps nothing of those that ask it."""
    return Exclusion([], [], place)


@lru_cache(maxsize=64)
def _minutes_of_day(live: frozenset[Pattern]) -> tuple[int, ...]:
    """List the seconds of each minute of a day that expressions name, as bits."""
    minutes = [0] * _DAY_MINUTES
    for one in live:
        seconds = one.seconds if one.with_seconds else WHOLE_MINUTE
        hours = [hour for hour in range(24) if one.hours >> hour & 1]
        named = [minute for minute in range(60) if one.minutes >> minute & 1]
        for place in (hour * 60 + minute for hour in hours for minute in named):
            minutes[place] |= seconds
    return tuple(minutes)


def _merged(windows: Iterable[Span]) -> list[Span]:
    """Put windows in order and join those that touch."""
    merged: list[Span] = []
    for low, high in sorted(windows):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
