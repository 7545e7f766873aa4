"""How APScheduler 3.11 looks for the next instant of a cron trigger, where a clock goes forward.

It walks its fields from year to second on the wall clock: a value that is named is set there, but a
step to the next day or hour is added in UTC. So a step over a gap arrives later than was meant, and
what lies between is left out; a value set within a gap counts by the offset before it.
"""

from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from scheduler_svc.domain.cron_fields import DAY_NAMES
from scheduler_svc.domain.imports.fields import Part
from scheduler_svc.domain.zones import zone_info

_REAL: Final = ("year", "month", "day", "hour", "minute", "second")
_ORDER: Final = ("year", "month", "day", "weekday", "hour", "minute", "second")
_LEAST: Final = {"year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}
_MOST: Final = {"year": 9999, "month": 12, "hour": 23, "minute": 59, "second": 59}
_STEPS_MAX: Final = 5000
_YEARS_MAX: Final = 10
_SECOND: Final = timedelta(seconds=1)


def next_fire(parts: Mapping[str, Part], place: str, previous: datetime) -> datetime | None:
    """Return the instant after a previous one; None where there is none for some years."""
    at = (previous.astimezone(UTC) + _SECOND).astimezone(zone_info(place))
    index = 0
    for _ in range(_STEPS_MAX):
        if index >= len(_ORDER):
            return at.astimezone(UTC)
        if at.year > previous.year + _YEARS_MAX:
            return None
        name = _ORDER[index]
        now, following = _value(at, name), _following(parts, at, name)
        if following == now:
            index += 1
        elif following is not None and name in _REAL:
            at = _set(at, name, following)
            index += 1
        else:
            at, index = _step(at, "day" if name == "weekday" else _above(name, following))
    return None


def _above(name: str, following: int | None) -> str:
    return name if following is not None else _REAL[max(_REAL.index(name) - 1, 0)]


def _value(at: datetime, name: str) -> int:
    found: int = at.isoweekday() % 7 if name == "weekday" else getattr(at, name)
    return found


def _following(parts: Mapping[str, Part], at: datetime, name: str) -> int | None:
    """Return the least value that is named, from the present one on."""
    part, now = parts[name], _value(at, name)
    named = set(part.values)
    if name == "day":
        named |= _odd_days(part, at)
        named = {value for value in named if value <= _days_of(at)}
    if name == "weekday":
        return now if now in named else None
    return min((value for value in named if value >= now), default=None)


def _odd_days(part: Part, at: datetime) -> set[int]:
    """Return the days of a month that its last day and positions of weekdays are."""
    begins, length = monthrange(at.year, at.month)
    found = {length} if part.specials else set()
    for text in part.nths:
        weekday, _, which = text.partition("#")
        first = 1 + (DAY_NAMES.index(weekday) - (begins + 1)) % 7
        days = list(range(first, length + 1, 7))
        found |= set(days[-1:] if which == "L" else days[int(which) - 1 : int(which)])
    return found


def _set(at: datetime, name: str, value: int) -> datetime:
    """Set a field on the wall clock and those below it to their least."""
    place = _REAL.index(name)
    values = {
        field: getattr(at, field) if index < place else value if index == place else _LEAST[field]
        for index, field in enumerate(_REAL)
    }
    return datetime(**values, tzinfo=at.tzinfo, fold=at.fold)


def _step(at: datetime, name: str) -> tuple[datetime, int]:
    """Go on to the next value of a field, or of one above it; the way there is added in UTC."""
    place = _REAL.index(name)
    while place > 0 and getattr(at, _REAL[place]) == _most(at, _REAL[place]):
        place -= 1
    field = _REAL[place]
    meant = _set(at, field, getattr(at, field) + 1).replace(tzinfo=None)
    way = meant - at.replace(tzinfo=None)
    return (at.astimezone(UTC) + way).astimezone(at.tzinfo), _ORDER.index(field)


def _most(at: datetime, name: str) -> int:
    return _days_of(at) if name == "day" else _MOST[name]


def _days_of(at: datetime) -> int:
    return monthrange(at.year, at.month)[1]
