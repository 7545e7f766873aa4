"""A slow and simple clock on a wall: every minute or second that a rule names, day by day.

Made of calendars and zone files alone, so that it can judge the importers. Each system's published
rule for the two nights a year is one function of it.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import product
from typing import NamedTuple

from domain.brute import rules

DAY = 86_400
FROM, TO = datetime(2026, 12, 1, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)
EPOCH = date(1970, 1, 1)
Days = Callable[[date], bool]


class Stay(NamedTuple):
    """A span in which a clock keeps its distance from UTC; all in seconds."""

    start: int
    end: int
    offset: int
    before: int


@cache
def stays(zone: str) -> tuple[Stay, ...]:
    """Walk the two years by quarters of an hour, with some days to either side."""
    low, high = (int(at.timestamp()) for at in (FROM - timedelta(3), TO + timedelta(3)))
    found: list[Stay] = []
    place = rules(zone)
    start, offset = low, _offset(low, place)
    before = offset
    for at in range(low, high, 900):
        if (now := _offset(at, place)) != offset:
            found.append(Stay(start, at, offset, before))
            start, before, offset = at, offset, now
    return (*found, Stay(start, high, offset, before))


def _offset(at: int, place: object) -> int:
    told = datetime.fromtimestamp(at, place).utcoffset()  # type: ignore[arg-type]
    assert told is not None
    return int(told.total_seconds())


class Rule(NamedTuple):
    """What a definition names on a wall: some days, and the same seconds of each of them."""

    days: Days
    seconds: tuple[int, ...]

    def within(self, low: int, high: int) -> Iterator[int]:
        """Yield the local times in [low, high), counted as if the wall were in UTC."""
        for day in range(low // DAY, high // DAY + 1):
            if self.days(EPOCH + timedelta(day)):
                for second in self.seconds:
                    if low <= day * DAY + second < high:
                        yield day * DAY + second


def rule(
    days: Days, hours: Iterable[int], minutes: Iterable[int], seconds: Iterable[int] = (0,)
) -> Rule:
    clock = product(sorted(hours), sorted(minutes), sorted(seconds))
    return Rule(days, tuple(h * 3600 + m * 60 + s for h, m, s in clock))


def elapsed(named: Rule, zone: str) -> list[int]:
    """Time goes on: what the clock leaves out is not, what it shows twice is twice."""
    return _cut(
        local - stay.offset
        for stay in stays(zone)
        for local in named.within(stay.start + stay.offset, stay.end + stay.offset)
    )


def first_pass(named: Rule, zone: str) -> list[int]:
    """What the clock leaves out is not, what it shows twice is in the first pass."""
    return _cut(
        local - stay.offset
        for stay in stays(zone)
        for local in named.within(
            stay.start + max(stay.offset, stay.before), stay.end + stay.offset
        )
    )


def as_cron(named: Rule, zone: str) -> list[int]:
    """A fixed time of Debian's cron: right after a gap, each of them; once where repeated."""
    late = [
        stay.start
        for stay in stays(zone)[1:]
        for _ in named.within(stay.start + stay.before, stay.start + stay.offset)
    ]
    return sorted([*first_pass(named, zone), *_cut(late)])


def _cut(instants: Iterable[int]) -> list[int]:
    low, high = int(FROM.timestamp()), int(TO.timestamp())
    return sorted(at for at in instants if low <= at < high)


def changes(zone: str, *, forward: bool) -> list[int]:
    return [
        stay.start
        for stay in stays(zone)[1:]
        if (stay.offset > stay.before) is forward and FROM.timestamp() <= stay.start
    ]
