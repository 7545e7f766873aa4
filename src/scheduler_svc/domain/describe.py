"""A schedule in words: "At 09:00 on Monday".

Promises a sentence for every schedule that compiles, in the manner of crontab.guru, without its
clock-change rules. It is for people; nothing reads it back.
"""

from collections.abc import Sequence

from msgspec import UNSET

from scheduler_svc.domain.cron_fields import (
    DAY,
    HOUR,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    YEAR,
    Field,
)
from scheduler_svc.domain.cron_grammar import Expression, Part, Term, read
from scheduler_svc.domain.duration import normal
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.schedule import Schedule

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July",
    "August", "September", "October", "November", "December",
)  # fmt: skip
_UNITS = {"d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}
_LISTED_MAX = 8
_ORDINALS = ("last", "first", "second", "third", "fourth", "fifth")


def describe(schedule: Schedule) -> str:
    """Describe when a schedule occurs; raise CronFault or ValueError where it does not compile."""
    if schedule.every is not UNSET:
        text = f"Every {_duration(schedule.every)}"
    elif schedule.at is not UNSET:
        listed = schedule.at if isinstance(schedule.at, list) else [schedule.at]
        text = f"Once at {_listed([_instant(epoch_ms(one)) for one in listed])}"
    elif isinstance(schedule.cron, str):
        text = _in_zone(_cron(schedule.cron), schedule.timezone)
    elif schedule.cron is not UNSET:
        text = _in_zone("; ".join(_cron(one) for one in schedule.cron), schedule.timezone)
    else:
        text = "Never"
    return text + _limits(schedule)


def _in_zone(text: str, name: str) -> str:
    return text if name == "UTC" else f"{text}, {name}"


def _limits(schedule: Schedule) -> str:
    """Describe what narrows a schedule."""
    parts = []
    if schedule.start is not None:
        parts.append(f"from {_instant(epoch_ms(schedule.start))}")
    if schedule.end is not None:
        parts.append(f"until {_instant(epoch_ms(schedule.end))}")
    if schedule.max_runs is not None:
        parts.append(f"at most {_counted(schedule.max_runs, 'run')}")
    if schedule.exclude:
        parts.append(f"with {_counted(len(schedule.exclude), 'exclusion')}")
    return "".join(f", {part}" for part in parts)


def _cron(text: str) -> str:
    """Describe one expression: clock, days, months, years."""
    expression = read(text)
    parts = [_clock(expression), _days(expression)]
    rest = ((field, expression.part(field)) for field in (MONTH, YEAR))
    parts += [f"in {_values(part, field)}" for field, part in rest if not _is_all(part, field)]
    return " ".join(part for part in parts if part)


def _clock(expression: Expression) -> str:
    """Describe the time of day, as clock times where all its fields are single values."""
    second, minute, hour = (expression.part(field) for field in (SECOND, MINUTE, HOUR))
    singles = [_single(part) for part in (hour, minute, second)]
    with_second = expression.with_seconds and singles[2] != 0
    if singles[1] is not None and singles[2] is not None:
        hours = [term for term in hour.terms if term.low == term.high and term.kind == "range"]
        if len(hours) == len(hour.terms):
            tail = f":{singles[1]:02}" + (f":{singles[2]:02}" if with_second else "")
            return f"At {_listed([f'{term.low:02}{tail}' for term in hours])}"
    parts = []
    if with_second:
        parts.append(_values(second, SECOND, noun=True))
    if not (with_second and _is_all(minute, MINUTE)) or not parts:
        parts.append(_values(minute, MINUTE, noun=True))
    text = "At " + " past ".join(parts)
    if not _is_all(hour, HOUR):
        text += f" past {_values(hour, HOUR, noun=True)}"
    return text


def _days(expression: Expression) -> str:
    day, weekday = expression.part(DAY), expression.part(WEEKDAY)
    by_date = "" if _is_all(day, DAY) else _day_of_month(day)
    by_weekday = "" if _is_all(weekday, WEEKDAY) else f"on {_values(weekday, WEEKDAY)}"
    if by_date and by_weekday:
        both = day.star or weekday.star or weekday.plus
        return f"{by_date} {'if it is' if both else 'and'} {by_weekday}"
    return by_date or by_weekday


def _day_of_month(part: Part) -> str:
    kinds = {term.kind for term in part.terms}
    if kinds == {"range"} or "hash" in kinds:
        return f"on {_values(part, DAY, noun=True)}"
    return f"on {_listed([_term(term, DAY) for term in part.terms])}"


def _values(part: Part, field: Field, *, noun: bool = False) -> str:
    """Describe a field's list; with `noun`, led by the field's name: `minute 5 and 10`."""
    texts = [_term(term, field) for term in part.terms]
    plain = all(term.kind == "range" and term.low == term.high for term in part.terms)
    lead = f"{field.name} " if noun and plain else ""
    return lead + _listed(texts)


def _term(term: Term, field: Field) -> str:
    """Describe one item of a list."""
    match term.kind:
        case "last":
            return "the last day of the month"
        case "last_workday":
            return "the last weekday of the month"
        case "workday":
            return f"the weekday nearest day-of-month {term.low}"
        case "nth":
            return f"the {_ORDINALS[term.step]} {_DAYS[term.low]} of the month"
        case "hash":
            return _hash(term, field)
        case "range":
            return _range(term, field)


def _hash(term: Term, field: Field) -> str:
    """Describe a value that the job's id draws."""
    every = f"every {_ordinal(term.step)}{field.name} from " if term.step else ""
    span = f"{_value(term.low, field)} to {_value(term.high, field)}"
    return f"{every}the job's own {field.name} of {span}"


def _range(term: Term, field: Field) -> str:
    full = term.low == field.low and term.high >= field.high - (field is WEEKDAY)
    if term.low == term.high:
        return _value(term.low, field)
    if full:
        return f"every {_ordinal(term.step)}{field.name}"
    span = f"{_value(term.low, field)} through {_value(term.high, field)}"
    if term.step == 1:
        return span if field in {MONTH, WEEKDAY, YEAR} else f"every {field.name} from {span}"
    return f"every {_ordinal(term.step)}{field.name} from {span}"


def _value(value: int, field: Field) -> str:
    if field is WEEKDAY:
        return _DAYS[value % 7]
    return _MONTHS[value - 1] if field is MONTH else str(value)


def _single(part: Part) -> int | None:
    """Return the one value of a field that has just one."""
    term = part.terms[0]
    alone = len(part.terms) == 1 and term.kind == "range" and term.low == term.high
    return term.low if alone else None


def _is_all(part: Part, field: Field) -> bool:
    return part.terms == (Term("range", field.low, 6 if field is WEEKDAY else field.high),)


def _ordinal(step: int) -> str:
    """Write `2nd `, or nothing for 1."""
    if step == 1:
        return ""
    teen = step % 100 in {11, 12, 13}
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(step % 10, "th")
    return f"{step}{ending} "


def _duration(text: str) -> str:
    """Write `1h30m` as `1 hour 30 minutes`, and `1h` as `hour`."""
    parts = []
    digits = unit = ""
    for sign in normal(text) + "0":
        if sign.isdigit() and unit:
            parts.append((int(digits), _UNITS[unit]))
            digits = unit = ""
        digits, unit = (digits + sign, unit) if sign.isdigit() else (digits, unit + sign)
    if len(parts) == 1 and parts[0][0] == 1:
        return parts[0][1]
    return " ".join(_counted(count, noun) for count, noun in parts)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(texts: Sequence[str]) -> str:
    """Join with commas and `and`; beyond eight, say how many more there are."""
    if len(texts) > _LISTED_MAX:
        shown = _LISTED_MAX - 1
        texts = [*texts[:shown], f"{len(texts) - shown} more"]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _instant(at: int) -> str:
    return f"{instant_at(at):%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC")
