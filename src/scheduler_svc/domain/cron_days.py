"""Which days of a month an expression names: the calendar half of cron.

Promises OCPS 1.3 and 1.4 (`L`, `W`, `#`, days OR-ed, `+` for AND) and, where both day fields meet
a field that begins with `*`, Debian cron's AND. Knows months only by length and first weekday.
"""

from typing import Final, NamedTuple

from scheduler_svc.domain.zones import YEAR_MAX, YEAR_MIN

MONTHS: Final = (YEAR_MAX - YEAR_MIN + 1) * 12
"""How many months the calendar has; a month is known by its index, 0 being January 1970."""

_LENGTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NTH_LAST: Final = 0
_SATURDAY: Final = 6


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _calendar() -> tuple[list[int], list[int]]:
    """Return the first day of each month in days since 1970, with one more, and each length."""
    firsts, lengths = [0], []
    for index in range(MONTHS):
        leap_day = index % 12 == 1 and _is_leap(YEAR_MIN + index // 12)
        lengths.append(_LENGTHS[index % 12] + leap_day)
        firsts.append(firsts[-1] + lengths[-1])
    return firsts, lengths


FIRSTS, LENGTHS = _calendar()
KINDS: Final = [
    (length - 28) * 7 + (first + 4) % 7 for first, length in zip(FIRSTS, LENGTHS, strict=False)
]
"""Each month's kind, one of 28: its length and the weekday (Sunday 0) of its first day."""


class DayRule(NamedTuple):
    """Both day fields of an expression, as sets.

    In `days`, bit d is day d of the month; in `weekdays`, bit 0 is Sunday; `nths` holds pairs of
    weekday and occurrence, 0 for the last; `workday` is the n of nW, `last_workday` is LW.
    """

    days: int
    last: bool
    workday: int
    last_workday: bool
    weekdays: int
    nths: frozenset[tuple[int, int]]
    both: bool

    def month_masks(self) -> tuple[int, ...]:
        """Work out, for each of the 28 kinds of month, its days: bit 0 is the first."""
        return tuple(self._mask(kind % 7, 28 + kind // 7) for kind in range(28))

    def _mask(self, first: int, length: int) -> int:
        by_date = self._by_date(first, length)
        by_weekday = self._by_weekday(first, length)
        return by_date & by_weekday if self.both else by_date | by_weekday

    def _by_date(self, first: int, length: int) -> int:
        mask = (self.days >> 1) & ((1 << length) - 1)
        if self.last:
            mask |= 1 << (length - 1)
        if self.last_workday:
            mask |= 1 << (_nearest_workday(length, first, length) - 1)
        if 0 < self.workday <= length:
            mask |= 1 << (_nearest_workday(self.workday, first, length) - 1)
        return mask

    def _by_weekday(self, first: int, length: int) -> int:
        mask = 0
        for day in range(length):
            weekday = (first + day) % 7
            nth = day // 7 + 1
            if (
                self.weekdays >> weekday & 1
                or (weekday, nth) in self.nths
                or (day + 7 >= length and (weekday, _NTH_LAST) in self.nths)
            ):
                mask |= 1 << day
        return mask


def _nearest_workday(day: int, first: int, length: int) -> int:
    """Return the Monday to Friday nearest a day, within its month."""
    weekday = (first + day - 1) % 7
    if weekday == _SATURDAY:
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day
