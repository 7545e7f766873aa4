"""A second reading of cron and of clock changes that shares no code with the product.

It expands fields into plain sets, looks at every minute of the wall clock around an instant, and
asks zoneinfo (by way of `fold`) which instants each of them is.
"""

import calendar
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {
    3: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    4: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
}
MINUTE = timedelta(minutes=1)
THREE_HOURS = timedelta(hours=3)


class Policy(NamedTuple):
    gap: Literal["auto", "run_after", "skip"] = "auto"
    overlap: Literal["auto", "first", "second", "both"] = "auto"


def value(index: int, text: str) -> int:
    names = NAMES.get(index, [])
    return names.index(text.lower()) + (index == 3) if text.lower() in names else int(text)


def expand(index: int, text: str) -> set[int]:
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        low, high = BOUNDS[index]
        if span not in {"*", "?"}:
            first, _, last = span.partition("-")
            low = value(index, first)
            high = value(index, last) if last else low
        found |= set(range(low, high + 1, int(step or 1)))
    return {number % 7 for number in found} if index == 4 else found


def month_days(day: date) -> list[date]:
    return [day.replace(day=n + 1) for n in range(calendar.monthrange(day.year, day.month)[1])]


def by_date(text: str, day: date) -> bool:
    month = month_days(day)
    workdays = [each for each in month if each.weekday() < 5]
    if text == "LW":
        return day == workdays[-1]
    if text.endswith("W"):
        if int(text[:-1]) > len(month):
            return False
        wanted = day.replace(day=int(text[:-1]))
        return day == min(workdays, key=lambda each: (abs(each - wanted), each))
    plain = ",".join(item for item in text.split(",") if item != "L")
    last = "L" in text.split(",") and day == month[-1]
    return last or (bool(plain) and day.day in expand(2, plain))


def by_weekday(text: str, day: date) -> bool:
    for item in text.split(","):
        name, mark, nth = item.partition("#")
        if item.endswith("L") and not mark:
            name, mark, nth = item[:-1], "#", "L"
        if not mark:
            if (day.weekday() + 1) % 7 in expand(4, item):
                return True
            continue
        wanted = value(4, name) % 7
        same = [each for each in month_days(day) if (each.weekday() + 1) % 7 == wanted]
        chosen = same[-1:] if nth == "L" else same[int(nth) - 1 : int(nth)]
        if day in chosen:
            return True
    return False


class Brute:
    """One expression of five fields."""

    def __init__(self, text: str) -> None:
        self.minute, self.hour, self.day, self.month, weekday = text.split()
        self.weekday = weekday.removeprefix("+")
        self.both = weekday.startswith("+") or any(f[0] in "*?" for f in (self.day, weekday))
        self.wildcard = "*" in {self.minute[0], self.hour[0]}
        self.minutes, self.hours = expand(0, self.minute), expand(1, self.hour)
        self.months = expand(3, self.month)
        self._days: dict[date, bool] = {}
        self._asked: tuple[str, datetime, datetime] | None = None
        self._seen: list[Minute] = []

    def has_day(self, day: date) -> bool:
        if day not in self._days:
            pair = (by_date(self.day, day), by_weekday(self.weekday, day))
            named = all(pair) if self.both else any(pair)
            self._days[day] = named and day.month in self.months
        return self._days[day]

    def matches(self, local: datetime) -> bool:
        clock = local.minute in self.minutes and local.hour in self.hours
        return clock and self.has_day(local.date())

    def instants(self, zone: str, low: datetime, high: datetime, policy: Policy) -> list[datetime]:
        """List the occurrences in [low, high)."""
        found: set[datetime] = set()
        for _, passes, shift, resumed in self.minutes_of(zone, low, high):
            found |= self._run(passes, shift, resumed, policy)
        return sorted(each for each in found if low <= each < high)

    def minutes_of(self, zone: str, low: datetime, high: datetime) -> list["Minute"]:
        """List the matching minutes of the wall clock, kept for the next policy."""
        asked = (zone, low, high)
        if self._asked != asked:
            minutes = wall_clock(zone, low, high)
            self._asked, self._seen = asked, [each for each in minutes if self.matches(each[0])]
        return self._seen

    def _run(
        self,
        passes: tuple[datetime, ...],
        shift: timedelta,
        resumed: datetime | None,
        policy: Policy,
    ) -> set[datetime]:
        if resumed is not None:
            after = policy.gap == "run_after" or (policy.gap == "auto" and not self.wildcard)
            return {resumed} if after and shift < THREE_HOURS else set()
        if len(passes) == 1 or policy.overlap == "both":
            return set(passes)
        if policy.overlap == "auto" and (self.wildcard or shift >= THREE_HOURS):
            return set(passes)
        return {passes[1] if policy.overlap == "second" else passes[0]}


@lru_cache(maxsize=64)
def rules(zone: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *zone.split("/")).open("rb") as source:
        return ZoneInfo.from_file(source, key=zone)


def instants_of(local: datetime, zone: str) -> tuple[datetime, ...]:
    """List the instants at which a wall clock shows a local time: none, one or two."""
    place = rules(zone)
    both = (local.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    return tuple(
        sorted({each for each in both if each.astimezone(place).replace(tzinfo=None) == local})
    )


Minute = tuple[datetime, tuple[datetime, ...], timedelta, datetime | None]


@lru_cache(maxsize=64)
def wall_clock(zone: str, low: datetime, high: datetime) -> tuple[Minute, ...]:
    """Look at each minute of the wall clock from two days before `low` to two after `high`.

    Each comes with its instants, with the size of the shift that doubles or swallows it, and,
    where it is swallowed, with the first instant after the gap.
    """
    place = rules(zone)
    local = low.replace(tzinfo=None) - timedelta(days=2)
    seen: list[Minute] = []
    swallowed: list[datetime] = []
    while local < high.replace(tzinfo=None) + timedelta(days=2):
        passes = instants_of(local, zone)
        if not passes:
            swallowed.append(local)
        else:
            for each in swallowed:
                offsets = [each.replace(tzinfo=place, fold=fold).utcoffset() for fold in (0, 1)]
                assert offsets[0] is not None
                assert offsets[1] is not None
                seen.append((each, (), offsets[1] - offsets[0], passes[0]))
            swallowed = []
            seen.append((local, passes, passes[-1] - passes[0], None))
        local += MINUTE
    return tuple(seen)
