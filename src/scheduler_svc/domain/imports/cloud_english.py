"""The readable schedules that Cloud Scheduler inherited from App Engine: `every 2 hours`.

Promises an interval or an expression for the forms below, Unfit for any other.
"""

import re
from typing import Final, NamedTuple

from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.shape import shown

_EVERY: Final = re.compile(r"every (\d{1,4}) (minutes|mins|hours)( synchronized)?", re.IGNORECASE)
_AT: Final = re.compile(
    r"(?:every )?(?P<days>[0-9a-z]{1,9}(?:,[0-9a-z]{1,9})*(?: [a-z]{1,9}(?:,[a-z]{1,9})*)?)"
    r"(?: of (?P<months>month|[a-z]+(?:,[a-z]+)*))? (?P<hour>\d{1,2}):(?P<minute>\d\d)",
    re.IGNORECASE,
)
_ORDINALS: Final = {
    "first": "1",
    "second": "2",
    "third": "3",
    "fourth": "4",
    "fifth": "5",
    "1st": "1",
    "2nd": "2",
    "3rd": "3",
    "4th": "4",
    "5th": "5",
}
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_STEM: Final = 3
_DAY_MINUTES: Final = 1440


class English(NamedTuple):
    """What a readable schedule says: one of the two, and whether it counts from midnight."""

    every: str | None = None
    cron: str | None = None
    synchronized: bool = False


def read_english(text: str) -> English | None:
    """Return what a readable schedule says; None where it is none at all."""
    plain = " ".join(text.split())
    if match := _EVERY.fullmatch(plain):
        return _interval(int(match[1]), match[2].lower()[0], synchronized=bool(match[3]))
    match = _AT.fullmatch(plain)
    if match is None:
        if plain[:5].lower() == "every":
            raise Unfit("syntax", f"'{shown(text)}': write it as cron, this form is not read")
        return None
    return English(cron=f"{int(match['minute'])} {int(match['hour'])} {_days(match)}")


def _interval(count: int, unit: str, *, synchronized: bool) -> English:
    minutes = count * 60 if unit == "h" else count
    if minutes == 0:
        raise Unfit("syntax", "an interval of 0")
    if not synchronized:
        return English(every=f"{count}{unit}")
    if _DAY_MINUTES % minutes:
        raise Unfit("syntax", f"{minutes} minutes do not divide a day, as 'synchronized' needs")
    if minutes < _DAY_MINUTES // 24:
        if 60 % minutes:
            raise Unfit("syntax", f"{minutes} minutes do not divide an hour: write it as cron")
        return English(cron=f"*/{minutes} * * * *", synchronized=True)
    if minutes % 60:
        raise Unfit("syntax", f"{minutes} minutes are no whole hours: write it as cron")
    hours = minutes // 60
    return English(cron=f"0 {'0' if hours > 23 else f'*/{hours}'} * * *", synchronized=True)  # noqa: PLR2004 - hours of a day


def _days(match: re.Match[str]) -> str:
    """Write the days of `1,third mon of sep` as day, month and day of week."""
    months = match["months"] or "month"
    month = "*" if months.lower() == "month" else ",".join(_index(_MONTHS, months, 1))
    words = match["days"].lower().split(" ")
    first = words[0].split(",")
    if words == ["day"]:
        return f"* {month} *"
    if len(words) > 1:
        if any(one not in _ORDINALS for one in first):
            raise Unfit("syntax", f"'{shown(match['days'])}' is no weekday of a month")
        names = [_WEEKDAYS[int(day)].upper() for day in _index(_WEEKDAYS, words[1], 0)]
        return f"* {month} {','.join(f'{day}#{_ORDINALS[one]}' for day in names for one in first)}"
    if all(one.isdigit() for one in first):
        return f"{','.join(first)} {month} *"
    return f"* {month} {','.join(_index(_WEEKDAYS, words[0], 0))}"


def _index(known: tuple[str, ...], listed: str, low: int) -> list[str]:
    texts = listed.lower().split(",")
    if any(text[:_STEM] not in known for text in texts):
        raise Unfit("syntax", f"'{shown(listed)}' names no {'month' if low else 'weekday'}")
    return [str(known.index(text[:_STEM]) + low) for text in texts]
