"""What the ledger holds already of the occurrences that a timer has before it.

A timer may stand at an occurrence that has a row: it was put back by hand, by an edit just before
its instant, or after a clock that was set. Pure: what is decided goes around the rows that are
there. The ledger has one row for an occurrence, and would pass over the row of a whole range where
its first has one.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, structs

from scheduler_svc.domain.misfire import Due, Skipped, ranges
from scheduler_svc.domain.occurrences import Timetable, next_after

Stretch = tuple[int, int]
"""From the first to the last occurrence, in epoch milliseconds."""


class Recorded(Struct, frozen=True):
    """What rows of one job stand for, from an instant on: stretches in order, none over another."""

    stretches: tuple[Stretch, ...] = ()
    until_ms: int | None = None
    """Up to where all rows are known; None where there are no more."""

    def holds(self, at: int) -> bool:
        """Tell whether an occurrence has a row."""
        index = self._behind(at)
        return index > 0 and self.stretches[index - 1][1] >= at

    def gaps(self, low: int, high: int) -> Iterator[Stretch]:
        """Return what is left of [low, high] between the rows."""
        for begin, end in self.stretches[max(0, self._behind(low) - 1) :]:
            if begin > high:
                break
            if begin > low:
                yield low, begin - 1
            low = max(low, end + 1)
        if low <= high:
            yield low, high

    def _behind(self, at: int) -> int:
        return bisect_right(self.stretches, at, key=lambda stretch: stretch[0])


NOTHING: Final = Recorded()


def recorded(rows: Iterable[Stretch], *, at_most: int) -> Recorded:
    """Read rows in the order of their first occurrences; so many are all that were asked for."""
    found: list[Stretch] = []
    count = 0
    for begin, end in rows:
        count += 1
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return Recorded(tuple(found), found[-1][1] if count >= at_most else None)


def around(timetable: Timetable, due: Due, rows: Recorded) -> Due:
    """Leave out of what is due all that has a row, and all that lies where rows are not known."""
    if not rows.stretches:
        return due
    until_ms, following = rows.until_ms, due.next_ms
    behind = None if until_ms is None else next_after(timetable, until_ms)
    cut = behind is not None and (following is None or behind < following)
    last_ms = until_ms if cut and until_ms is not None else None

    def left(occurrences: list[int]) -> list[int]:
        known = (at for at in occurrences if last_ms is None or at <= last_ms)
        return [at for at in known if not rows.holds(at)]

    return structs.replace(
        due,
        on_time=left(due.on_time),
        catch_up=left(due.catch_up),
        skipped=[part for one in due.skipped for part in _parts(timetable, one, rows, last_ms)],
        next_ms=behind if cut else following,
        cut=cut,
    )


def _parts(
    timetable: Timetable, skipped: Skipped, rows: Recorded, last_ms: int | None
) -> Iterator[Skipped]:
    high = skipped.last_ms if last_ms is None else min(skipped.last_ms, last_ms)
    for begin, end in rows.gaps(skipped.first_ms, high):
        yield from ranges(timetable, begin, end, skipped.reason)
