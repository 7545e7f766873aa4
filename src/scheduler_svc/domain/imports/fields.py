"""One foreign cron field: from its text to the set of values that it names.

Promises sets, whatever numbers a system counts weekdays by: Sunday is 0 in what comes out. Items
that no set can hold (`L`, `15W`, `FRI#2`) come out as the texts that our dialect has for them.
"""

import re
from typing import Final, NamedTuple

from scheduler_svc.domain.cron_fields import DAY_NAMES
from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.grammar import Field, Grammar
from scheduler_svc.domain.imports.shape import shown
from scheduler_svc.domain.zones import YEAR_MAX

_VALUE: Final = r"([0-9]{1,4}|[A-Za-z]{3})"
_ITEM: Final = re.compile(rf"(?:(\*)|(\?)|{_VALUE}(?:-{_VALUE})?)(?:/([0-9]{{1,4}}))?")
_RANDOM: Final = re.compile(r"([0-9]{1,4})?~([0-9]{1,4})?")
_NTH: Final = re.compile(rf"{_VALUE}#([1-5])")
_LAST: Final = re.compile(r"([0-9]|[A-Za-z]{3})L")
_WORKDAY: Final = re.compile(r"([0-9]{1,2})W", re.IGNORECASE)
_POSITION: Final = re.compile(r"(1st|2nd|3rd|4th|5th|last) +([A-Za-z]{3})", re.IGNORECASE)
_ITEMS_MAX: Final = 100


class Part(NamedTuple):
    """One field: values, texts of ours for what is none, and how it was written.

    `star` tells that it is unrestricted by the system's own rule; `drawn` that chance decides.
    """

    field: Field
    text: str
    values: frozenset[int]
    specials: tuple[str, ...] = ()
    nths: tuple[str, ...] = ()
    star: bool = False
    drawn: bool = False

    @property
    def full(self) -> bool:
        """Tell whether it names every value."""
        span = 7 if self.field.name == "weekday" else self.field.high - self.field.low + 1
        return len(self.values) == span


class _Item(NamedTuple):
    values: frozenset[int] = frozenset()
    special: str | None = None
    nth: str | None = None
    star: bool = False
    drawn: bool = False


def read_part(grammar: Grammar, field: Field, text: str) -> Part:
    """Read one field; raise Unfit for what the system itself would refuse."""
    texts = [item.strip() for item in text.split(",")]
    if len(texts) > _ITEMS_MAX:
        raise Unfit("syntax", f"{field.name} field: {len(texts)} items; at most {_ITEMS_MAX}")
    items = [_item(grammar, field, one) for one in texts]
    begins = text.startswith(("*", "?"))
    star = begins if grammar.days == "star_begins" else any(item.star for item in items)
    values = frozenset().union(*(item.values for item in items))
    if field.name == "weekday":
        values = frozenset((value - field.sunday) % 7 for value in values)
    if field.name == "year":
        values = frozenset(value for value in values if value <= YEAR_MAX)
    return Part(
        field,
        text,
        values,
        tuple(item.special for item in items if item.special is not None),
        tuple(item.nth for item in items if item.nth is not None),
        star,
        any(item.drawn for item in items),
    )


def _item(grammar: Grammar, field: Field, text: str) -> _Item:
    found = None
    if grammar.random:
        found = _random(field, text)
    if found is None and grammar.quartz:
        found = _quartz(field, text)
    if found is None and grammar.positions and field.name == "day":
        found = _position(text)
    return _range(grammar, field, text) if found is None else found


def _range(grammar: Grammar, field: Field, text: str) -> _Item:
    """Read `*`, `5`, `5-20`, with a step or without."""
    match = _ITEM.fullmatch(text)
    if match is None or (match[2] and not _may_ask(grammar, field)):
        raise _fault(grammar, field, text, "is nothing that can stand there")
    star, question, first, last, stepped = match.groups()
    step = int(stepped) if stepped else 1
    if step == 0:
        raise _fault(grammar, field, text, "has a step of 0")
    if star or question:
        low, high = field.low, field.high
    else:
        low = _value(grammar, field, text, first)
        high = low if last is None else _value(grammar, field, text, last)
        if stepped and last is None:
            if not grammar.open_step:
                raise _fault(grammar, field, text, "has a step and no range")
            high = field.high
    if low > high:
        raise _fault(grammar, field, text, "ends before it begins")
    return _Item(frozenset(range(low, high + 1, step)), star=bool(star or question) and step == 1)


def _may_ask(grammar: Grammar, field: Field) -> bool:
    return grammar.question and (grammar.days != "question" or field.name in {"day", "weekday"})


def _value(grammar: Grammar, field: Field, item: str, text: str) -> int:
    if text.isdigit():
        value = int(text)
    elif text.upper() in field.names:
        value = field.names.index(text.upper()) + field.first_name
    else:
        raise _fault(grammar, field, item, f"holds '{text}', which is no name of one")
    if not field.low <= value <= field.high:
        raise _fault(grammar, field, item, f"is outside {field.low} to {field.high}")
    return value


def _random(field: Field, text: str) -> _Item | None:
    """Read cronie's `5~20`: our `H(5-20)` is drawn once and for all."""
    match = _RANDOM.fullmatch(text)
    if match is None:
        return None
    low = field.low if match[1] is None else int(match[1])
    high = field.high if match[2] is None else int(match[2])
    if not field.low <= low <= high <= field.high:
        raise Unfit("syntax", f"{field.name} field: '{shown(text)}' is no range of it")
    return _Item(special=f"H({low}-{high})", drawn=True)


def _quartz(field: Field, text: str) -> _Item | None:
    upper = text.upper()
    if field.name == "day":
        if upper in {"L", "LW"} or _WORKDAY.fullmatch(text):
            return _Item(special=upper)
        return None
    return _quartz_weekday(field, text) if field.name == "weekday" else None


def _quartz_weekday(field: Field, text: str) -> _Item | None:
    if text.upper() == "L":
        return _Item(frozenset({field.high}))
    if match := _LAST.fullmatch(text):
        return _Item(special=f"{_day_name(field, match[1])}#L")
    if match := _NTH.fullmatch(text):
        return _Item(special=f"{_day_name(field, match[1])}#{match[2]}")
    return None


def _day_name(field: Field, text: str) -> str:
    value = (
        int(text)
        if text.isdigit()
        else field.names.index(text.upper()) + field.first_name
        if text.upper() in field.names
        else -1
    )
    if not field.low <= value <= field.high:
        raise Unfit("syntax", f"weekday field: '{shown(text)}' is no weekday")
    return DAY_NAMES[(value - field.sunday) % 7]


def _position(text: str) -> _Item | None:
    """Read `last` and `2nd fri`: the second is a matter of our day of week."""
    if text.lower() == "last":
        return _Item(special="L")
    match = _POSITION.fullmatch(text)
    if match is None:
        return None
    if match[2].upper() not in DAY_NAMES:
        raise Unfit("syntax", f"day field: '{shown(text)}' names no weekday")
    which = "L" if match[1].lower() == "last" else match[1][0]
    return _Item(nth=f"{match[2].upper()}#{which}")


def _fault(grammar: Grammar, field: Field, text: str, reason: str) -> Unfit:
    return Unfit(
        "syntax", f"{field.name} field, '{shown(text)}': {reason}; {grammar.system} has no such"
    )
