"""A compiled expression: a set of local times that can be stepped through either way.

Promises every answer within the years 1970 to 2199 in bounded time: a step looks at most at each
month once. Knows no zone: its times are seconds since 1970-01-01 00:00 on the wall clock.
"""

from bisect import bisect_right
from typing import Final

from scheduler_svc.domain.cron_days import FIRSTS, KINDS, MONTHS

DAY_SECONDS: Final = 86_400
_FULL_SIXTY: Final = (1 << 60) - 1
_FULL_DAY: Final = (1 << 24) - 1


class Pattern:
    """The local times an expression names, as one bit mask for each field."""

    __slots__ = (
        "_masks",
        "_per_day",
        "first_time",
        "hours",
        "last_time",
        "minutes",
        "months",
        "seconds",
        "wildcard",
        "with_seconds",
        "years",
    )

    def __init__(
        self,
        *,
        clock: tuple[int, int, int],
        masks: tuple[int, ...],
        months: int,
        years: int,
        wildcard: bool,
        with_seconds: bool,
    ) -> None:
        """Take masks of hours, minutes, seconds; of days for each kind of month; of months, years.

        In `months`, bit 0 is January; in `years`, bit 0 is 1970.
        """
        self.hours, self.minutes, self.seconds = clock
        self._masks = masks
        self.months = months
        self.years = years
        self.wildcard = wildcard
        self.with_seconds = with_seconds
        self._per_day = self.hours.bit_count() * self.minutes.bit_count() * self.seconds.bit_count()
        low, high = (_low(mask) for mask in clock), (_high(mask) for mask in clock)
        self.first_time = _time_of(*low)
        self.last_time = _time_of(*high)

    def next_from(self, local: int) -> int | None:
        """Return the first member at or after `local`."""
        day, time = divmod(max(local, 0), DAY_SECONDS)
        index = bisect_right(FIRSTS, day) - 1
        if index >= MONTHS:
            return None
        into = day - FIRSTS[index]
        live = self.days_in(index) >> into
        if live & 1:
            found = self._time_from(time)
            if found >= 0:
                return day * DAY_SECONDS + found
        live >>= 1
        if live:
            return (day + 1 + _low(live)) * DAY_SECONDS + self.first_time
        following = self._month_from(index + 1)
        if following is None:
            return None
        return (FIRSTS[following] + _low(self.days_in(following))) * DAY_SECONDS + self.first_time

    def last_until(self, local: int) -> int | None:
        """Return the last member at or before `local`."""
        local = min(local, FIRSTS[MONTHS] * DAY_SECONDS - 1)
        if local < 0:
            return None
        day, time = divmod(local, DAY_SECONDS)
        index = bisect_right(FIRSTS, day) - 1
        into = day - FIRSTS[index]
        live = self.days_in(index) & ((2 << into) - 1)
        if live >> into & 1:
            found = self._time_until(time)
            if found >= 0:
                return day * DAY_SECONDS + found
            live ^= 1 << into
        while not live:
            earlier = self._month_until(index - 1)
            if earlier is None:
                return None
            index, live = earlier, self.days_in(earlier)
        return (FIRSTS[index] + _high(live)) * DAY_SECONDS + self.last_time

    def count(self, low: int, high: int) -> int:
        """Count the members in [low, high)."""
        low, high = max(low, 0), min(high, FIRSTS[MONTHS] * DAY_SECONDS)
        if low >= high:
            return 0
        return (
            self._count_before(high)
            - self._count_before(low)
            + self._per_day * self._count_days(low // DAY_SECONDS, high // DAY_SECONDS)
        )

    def matches(self, local: int) -> bool:
        """True when `local` is a member; without a seconds field, its whole minute is."""
        if not self.with_seconds:
            local -= local % 60
        return self.next_from(local) == local

    def run_around(self, local: int) -> tuple[int, int]:
        """Return bounds [low, high) around a member within which every second matches.

        They are as wide as one field tells: enough to pass over a long run in few steps.
        """
        day, time = divmod(local, DAY_SECONDS)
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        seconds = self.seconds if self.with_seconds else _FULL_SIXTY
        if seconds != _FULL_SIXTY:
            low, high = _run(seconds, second)
            return local - second + low, local - second + high
        if self.minutes != _FULL_SIXTY:
            low, high = _run(self.minutes, minute)
            return local - time % 3600 + low * 60, local - time % 3600 + high * 60
        if self.hours != _FULL_DAY:
            low, high = _run(self.hours, hour)
            return local - time + low * 3600, local - time + high * 3600
        index = bisect_right(FIRSTS, day) - 1
        low, high = _run(self.days_in(index), day - FIRSTS[index])
        return (FIRSTS[index] + low) * DAY_SECONDS, (FIRSTS[index] + high) * DAY_SECONDS

    def day_mask(self, *, coarse: bool) -> int:
        """Return the times of a matching day, a bit for each second; `coarse`: whole minutes."""
        seconds = _FULL_SIXTY if coarse else self.seconds
        hour = sum(seconds << minute * 60 for minute in range(60) if self.minutes >> minute & 1)
        return sum(hour << each * 3600 for each in range(24) if self.hours >> each & 1)

    def has_day(self, day: int) -> bool:
        """True when a day, counted from 1970-01-01, is one of its days."""
        index = bisect_right(FIRSTS, day) - 1
        return 0 <= index < MONTHS and bool(self.days_in(index) >> day - FIRSTS[index] & 1)

    def days_in(self, index: int) -> int:
        """Return the days of a month as a mask, bit 0 the first; `index` 0 is January 1970."""
        if not self.months >> index % 12 & 1 or not self.years >> index // 12 & 1:
            return 0
        return self._masks[KINDS[index]]

    def _month_from(self, index: int) -> int | None:
        while index < MONTHS:
            years = self.years >> index // 12
            if not years:
                return None
            if not years & 1:
                index = (index // 12 + _low(years)) * 12
            if self.days_in(index):
                return index
            index += 1
        return None

    def _month_until(self, index: int) -> int | None:
        while index >= 0:
            years = self.years & ((2 << index // 12) - 1)
            if not years:
                return None
            index = min(index, _high(years) * 12 + 11)
            if self.days_in(index):
                return index
            index -= 1
        return None

    def _time_from(self, time: int) -> int:
        """Return the first time of day at or after `time`, -1 when none is left."""
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1:
                left = self.seconds >> second
                if left:
                    return time + _low(left)
            left = self.minutes >> minute + 1
            if left:
                minute += 1 + _low(left)
                return hour * 3600 + minute * 60 + _low(self.seconds)
        left = self.hours >> hour + 1
        if left:
            return (hour + 1 + _low(left)) * 3600 + self.first_time % 3600
        return -1

    def _time_until(self, time: int) -> int:
        """Return the last time of day at or before `time`, -1 when there is none."""
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        if self.hours >> hour & 1:
            if self.minutes >> minute & 1:
                left = self.seconds & ((2 << second) - 1)
                if left:
                    return time - second + _high(left)
            left = self.minutes & ((1 << minute) - 1)
            if left:
                return hour * 3600 + _high(left) * 60 + _high(self.seconds)
        left = self.hours & ((1 << hour) - 1)
        if left:
            return _high(left) * 3600 + self.last_time % 3600
        return -1

    def _count_before(self, local: int) -> int:
        """Count the members of `local`'s own day that come before it."""
        day, time = divmod(local, DAY_SECONDS)
        index = bisect_right(FIRSTS, day) - 1
        if index >= MONTHS or not self.days_in(index) >> day - FIRSTS[index] & 1:
            return 0
        hour, minute, second = time // 3600, time // 60 % 60, time % 60
        per_minute = self.seconds.bit_count()
        total = _below(self.hours, hour) * self.minutes.bit_count() * per_minute
        if self.hours >> hour & 1:
            total += _below(self.minutes, minute) * per_minute
            if self.minutes >> minute & 1:
                total += _below(self.seconds, second)
        return total

    def _count_days(self, low: int, high: int) -> int:
        """Count the days in [low, high), given as days since 1970."""
        first, last = (bisect_right(FIRSTS, day) - 1 for day in (low, high))
        total = sum(self.days_in(index).bit_count() for index in range(first, min(last, MONTHS)))
        if last < MONTHS:
            total += _below(self.days_in(last), high - FIRSTS[last])
        return total - _below(self.days_in(first), low - FIRSTS[first])


def _low(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _high(mask: int) -> int:
    return mask.bit_length() - 1


def _below(mask: int, bit: int) -> int:
    return (mask & ((1 << bit) - 1)).bit_count()


def _run(mask: int, bit: int) -> tuple[int, int]:
    """Return the bounds [low, high) of the run of set bits around a set one."""
    return (~mask & ((1 << bit) - 1)).bit_length(), bit + _low(~(mask >> bit))


def _time_of(hour: int, minute: int, second: int) -> int:
    return hour * 3600 + minute * 60 + second
