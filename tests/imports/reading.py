"""Fields of cron as predicates, one system at a time, written from their manuals.

Nothing here makes sets of values or knows our dialect: a field is asked about each value.
"""

import calendar
import re
from collections.abc import Callable
from datetime import date

from imports.wall import Rule, rule

MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def number(text: str, names: list[str], first: int) -> int:
    return names.index(text.lower()) + first if text.lower() in names else int(text)


def names(
    text: str, value: int, low: int, high: int, *, words: list[str] | None = None, first: int = 0
) -> bool:
    """Does a field name a value? `5/15` goes on to the end, where a system has it at all."""
    for item in text.split(","):
        span, _, step = item.partition("/")
        if span in {"*", "?"}:
            begin, end = low, high
        else:
            a, dash, b = span.partition("-")
            begin = number(a, words or [], first)
            end = number(b, words or [], first) if dash else high if step else begin
        if begin <= value <= end and (value - begin) % int(step or 1) == 0:
            return True
    return False


def clock(minute: str, hour: str, second: str = "0") -> tuple[list[int], list[int], list[int]]:
    return (
        [h for h in range(24) if names(hour, h, 0, 23)],
        [m for m in range(60) if names(minute, m, 0, 59)],
        [s for s in range(60) if names(second, s, 0, 59)],
    )


def sunday_0(day: date) -> int:
    return day.isoweekday() % 7


def cron_weekday(text: str, day: date) -> bool:
    """Sunday is 0 and 7."""
    asked = {0: (0, 7)}.get(sunday_0(day), (sunday_0(day),))
    return any(names(text, value, 0, 7, words=DAYS) for value in asked)


def crontab(text: str) -> tuple[Rule, bool]:
    """Debian: a day field that begins with `*` is unrestricted. Also tell whether it is wild."""
    minute, hour, dom, month, dow = NICKNAMES.get(text, text).split()

    def days(day: date) -> bool:
        by_date, by_week = names(dom, day.day, 1, 31), cron_weekday(dow, day)
        both = dom[0] == "*" or dow[0] == "*"
        matches = by_date and by_week if both else by_date or by_week
        return names(month, day.month, 1, 12, words=MONTHS, first=1) and matches

    return rule(days, *clock(minute, hour)), "*" in {minute[0], hour[0]}


def robfig(text: str, *, seconds: bool = False) -> Rule:
    """robfig/cron: a day field is unrestricted where an item is `*` or `?` without a step."""
    fields = text.split() if seconds else ["0", *text.split()]
    second, minute, hour, dom, month, dow = fields
    free = [
        any(re.fullmatch(r"[*?](/1)?", item) for item in field.split(",")) for field in (dom, dow)
    ]

    def days(day: date) -> bool:
        by_date = names(dom, day.day, 1, 31)
        by_week = names(dow, sunday_0(day), 0, 6, words=DAYS)
        matches = by_date and by_week if any(free) else by_date or by_week
        return names(month, day.month, 1, 12, words=MONTHS, first=1) and matches

    return rule(days, *clock(minute, hour, second))


def nearest_workday(day: date) -> date:
    last = calendar.monthrange(day.year, day.month)[1]
    if day.isoweekday() == 6:
        return day.replace(day=day.day - 1 if day.day > 1 else day.day + 2)
    if day.isoweekday() == 7:
        return day.replace(day=day.day + 1 if day.day < last else day.day - 2)
    return day


def quartz_date(text: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if text == "L":
        return day.day == last
    if text == "LW":
        return day == nearest_workday(day.replace(day=last))
    if text.endswith("W"):
        return int(text[:-1]) <= last and day == nearest_workday(day.replace(day=int(text[:-1])))
    return names(text, day.day, 1, 31)


def quartz_weekday(text: str, day: date) -> bool:
    """Sunday is 1."""
    mine = sunday_0(day) + 1
    if text == "L":
        return mine == 7
    if "#" in text:
        which, _, nth = text.partition("#")
        return mine == number(which, DAYS, 1) and (day.day - 1) // 7 + 1 == int(nth)
    if text.endswith("L"):
        last = calendar.monthrange(day.year, day.month)[1]
        return mine == number(text[:-1], DAYS, 1) and day.day + 7 > last
    return names(text, mine, 1, 7, words=DAYS, first=1)


def eventbridge(text: str) -> Rule:
    minute, hour, dom, month, dow, year = text.split()

    def days(day: date) -> bool:
        return (
            names(year, day.year, 1970, 2199)
            and names(month, day.month, 1, 12, words=MONTHS, first=1)
            and (quartz_weekday(dow, day) if dom == "?" else quartz_date(dom, day))
        )

    return rule(days, *clock(minute, hour))


ENGLISH: dict[str, Callable[[date], bool]] = {
    "every monday 09:00": lambda day: day.isoweekday() == 1,
    "2nd,third mon of march,jun 17:00": lambda day: (
        day.isoweekday() == 1 and day.month in {3, 6} and 8 <= day.day <= 21
    ),
    "1,15 of month 00:30": lambda day: day.day in {1, 15},
    "every day 02:30": bool,
}


def english(text: str) -> Rule:
    hour, _, minute = text.rpartition(" ")[2].partition(":")
    return rule(ENGLISH[text], [int(hour)], [int(minute)])
