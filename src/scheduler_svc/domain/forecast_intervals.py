"""Occurrences per minute of jobs `every` so long: counted by where in the period their anchors lie.

Promises the very instants that the engine would name, sent after their `spread` and without what is
excluded, of any number of jobs at once. A minute costs the same whatever is sent in it. Times are
epoch milliseconds, minutes are whole minutes since 1970; spans are [low, high).
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from scheduler_svc.domain.exclusion import WHOLE_MINUTE, Exclusion

MINUTE_MS: Final = 60_000

Counted = tuple[int, int]
"""A minute, and how often something is sent in it."""


class Intervals(Struct, frozen=True):
    """What jobs of one period share: where in time they occur, but for what is excluded.

    `spread` is how much later something is sent than it occurs; shorter than the period.
    """

    period: int
    low: int
    high: int
    exclusion: Exclusion | None = None
    spread: int = 0


class Cell(NamedTuple):
    """A stretch within one minute, what occurs in which is sent in one minute.

    `free` has a bit for each second of its minute that no expression blocks.
    """

    low: int
    high: int
    sent: int
    free: int


class Cells:
    """The cells of a stretch of time: found when they are first asked for, and kept."""

    def __init__(self, shared: Intervals) -> None:
        self._kept: list[Cell] = []
        self._left = _cells(shared)

    def __iter__(self) -> Iterator[Cell]:
        yield from self._kept
        for cell in self._left:
            if cell.free:
                self._kept.append(cell)
            yield cell


def minutes_of_intervals(
    shared: Intervals, phases: Sequence[int], cells: Iterable[Cell]
) -> Iterator[Counted]:
    """Yield the minutes in which jobs are sent, and 0 for some in which nothing is.

    `phases` are their anchors modulo the period, sorted; `cells` those of `shared`. A bisection for
    each minute, or a walk where less is sent than there are minutes.
    """
    low, high, period = shared.low, shared.high, shared.period
    if len(phases) * ((high - low) // period + 1) < (high - low) // MINUTE_MS:
        for phase in phases:
            for at in range(low + (phase - low) % period, high, period):
                free = shared.exclusion is None or shared.exclusion.block_around(at) is None
                yield (at + shared.spread) // MINUTE_MS, int(free)
        return
    known: dict[tuple[int, int, int, int], int] = {}
    for cell in cells:
        # Cells that begin at the same point of the period are alike, if they are free alike.
        like = cell.low % period, cell.low % MINUTE_MS, cell.high - cell.low, cell.free
        count = known.get(like)
        if count is None:
            count = known[like] = _occurring(period, phases, cell)
        yield cell.sent, count


def _cells(shared: Intervals) -> Iterator[Cell]:
    """Cut a stretch where minutes begin, of the clock and of what is sent, and at windows."""
    exclusion, spread = shared.exclusion, shared.spread
    whole = [(shared.low, shared.high)]
    for begin, end in whole if exclusion is None else exclusion.free_spans(*whole[0]):
        at = begin
        while at < end:
            minute = at // MINUTE_MS
            high = min((minute + 1) * MINUTE_MS, end)
            if spread:
                high = min(high, at + MINUTE_MS - (at + spread) % MINUTE_MS)
            free = WHOLE_MINUTE
            if exclusion is not None and exclusion.patterns:
                free ^= exclusion.blocked_seconds(minute)
            yield Cell(at, high, (at + spread) // MINUTE_MS, free)
            at = high


def _occurring(period: int, phases: Sequence[int], cell: Cell) -> int:
    """Count what occurs in a cell."""
    low, high, _, free = cell
    if free == WHOLE_MINUTE:
        return _before(period, phases, high) - _before(period, phases, low)
    total, first, place = 0, low - low % MINUTE_MS, 0
    while free:
        blocked = (free & -free).bit_length() - 1
        free, place = free >> blocked, place + blocked
        run = (~free & free + 1).bit_length() - 1
        begin, end = max(low, first + place * 1000), min(high, first + (place + run) * 1000)
        if begin < end:
            total += _before(period, phases, end) - _before(period, phases, begin)
        free, place = free >> run, place + run
    return total


def _before(period: int, phases: Sequence[int], at: int) -> int:
    """Count what lies before an instant, from a beginning that does not matter."""
    whole, rest = divmod(at, period)
    return whole * len(phases) + bisect_left(phases, rest)
