"""The strict grammar of cron expressions: text in, checked terms out.

Promises to accept OCPS 1.0 to 1.4 and `H`, and to refuse all else with field, value, reason and
the nearest valid form. Gives terms no meaning in time; `cron` does.
"""

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from scheduler_svc.domain.cron_fields import (
    DAY,
    FIELDS,
    FIVE,
    NICKNAMES,
    WEEKDAY,
    YEAR,
    Field,
)
from scheduler_svc.domain.cron_hints import field_count_hint, shape_hint, value_hint

EXPRESSION_MAX: Final = 255
_NTH_MAX: Final = 5

Kind = Literal["range", "last", "last_workday", "workday", "nth", "hash"]


class CronFault(ValueError):
    """An expression that is refused; its text is a sentence for whoever wrote it."""


class Term(NamedTuple):
    """One item of a field's list, in numbers.

    `range` is low to high by step; `workday` is the weekday nearest `low`; `nth` is weekday `low`,
    occurrence `step` (0 means the last); `hash` draws from low to high, then steps if `step`.
    """

    kind: Kind
    low: int = 0
    high: int = 0
    step: int = 1


class Part(NamedTuple):
    """One field as written: its terms, and how it begins, which decides two of cron's rules."""

    terms: tuple[Term, ...]
    star: bool = False
    plus: bool = False


class Expression(NamedTuple):
    """A checked expression: its seven parts in the order of FIELDS, those left out filled in."""

    parts: tuple[Part, ...]
    with_seconds: bool

    def part(self, field: Field) -> Part:
        """Return one of its parts."""
        return self.parts[FIELDS.index(field)]

    @property
    def hashed(self) -> bool:
        """True when the job's id decides some of its values."""
        return any(term.kind == "hash" for part in self.parts for term in part.terms)


_VALUE: Final = r"([0-9]{1,4}|[A-Za-z]{3})"
_RANGE: Final = re.compile(rf"{_VALUE}(?:-{_VALUE}(?:/([0-9]{{1,4}}))?)?")
_STAR: Final = re.compile(r"\*(?:/([0-9]{1,4}))?")
_HASH: Final = re.compile(r"H(?:\(([0-9]{1,2})-([0-9]{1,2})\))?(?:/([0-9]{1,4}))?")
_NTH: Final = re.compile(rf"{_VALUE}#([0-9]+|L)|([0-7])L")
_WORKDAY: Final = re.compile(r"([0-9]{1,2})W")


def read(text: str) -> Expression:
    """Check an expression and take it apart; raise CronFault with the first thing wrong."""
    if len(text) > EXPRESSION_MAX:
        raise CronFault(f"the expression has {len(text)} characters; at most {EXPRESSION_MAX}")
    texts = _fields_of(text.strip(" \t"))
    given = FIELDS[1:6] if len(texts) == FIVE else FIELDS[: len(texts)]
    written = dict(zip(given, texts, strict=True))
    parts = tuple(_part(field, written.get(field, field.default)) for field in FIELDS)
    return Expression(parts, with_seconds=len(texts) > FIVE)


def _fields_of(text: str) -> list[str]:
    """Split an expression into 5, 6 or 7 texts, nicknames spelt out."""
    if text.startswith("@"):
        if text not in NICKNAMES:
            raise CronFault(_nickname_fault(text))
        text = NICKNAMES[text]
    texts = re.split(r"[ \t]+", text)
    if texts[0].startswith(("TZ=", "CRON_TZ=")):
        raise CronFault(f"'{texts[0]}': the zone has a key of its own; write it in 'timezone'")
    if not FIVE <= len(texts) <= len(FIELDS) or not text:
        raise CronFault(field_count_hint(texts if text else []))
    return texts


def _nickname_fault(text: str) -> str:
    if text.lower() in NICKNAMES:
        return f"nickname '{text}': nicknames are lower case; write '{text.lower()}'"
    if text == "@reboot":
        return "nickname '@reboot': a service has no reboot to wait for; name a time"
    if text.startswith("@every"):
        return f"nickname '{text}': write the duration in 'every' instead of 'cron', like \"5m\""
    known = ", ".join(NICKNAMES)
    return f"nickname '{text}': unknown; the nicknames are {known}"


@lru_cache(maxsize=4096)
def _part(field: Field, text: str) -> Part:
    """Check one field; there are far fewer of them than expressions."""
    body, plus = text, False
    if field is WEEKDAY and text.startswith("+"):
        body, plus = text[1:], True
    if body == "?" and field in {DAY, WEEKDAY}:
        body = "*"
    items = body.split(",")
    terms = tuple(_term(field, item, text) for item in items)
    if len(terms) > 1 and any(term.kind in {"workday", "last_workday"} for term in terms):
        raise _fault(field, text, "W stands for one day and can not be part of a list")
    return Part(terms, star=body.startswith("*") and not plus, plus=plus)


def _term(field: Field, item: str, text: str) -> Term:
    """Check one item of a field's list."""
    if match := _STAR.fullmatch(item):
        return Term("range", field.low, _top(field), _step(field, item, match[1]))
    if match := _RANGE.fullmatch(item):
        low = _value(field, item, match[1])
        high = low if match[2] is None else _value(field, item, match[2])
        if low > high:
            raise _fault(
                field, item, f"{match[1]} comes after {match[2]}", _two_ranges(field, low, high)
            )
        return Term("range", low, high, _step(field, item, match[3]))
    if field is not YEAR and (match := _HASH.fullmatch(item)):
        return _hash(field, item, match)
    special = _day_term(item) if field is DAY else _weekday_term(item) if field is WEEKDAY else None
    if special is None:
        raise _fault(field, item or text, *shape_hint(field, item))
    return special


def _day_term(item: str) -> Term | None:
    """Check the items that only the day of the month has: L, LW, 15W."""
    if item == "L":
        return Term("last")
    if item == "LW":
        return Term("last_workday")
    if match := _WORKDAY.fullmatch(item):
        day = _value(DAY, item, match[1])
        return Term("workday", day, day)
    return None


def _weekday_term(item: str) -> Term | None:
    """Check the items that only the day of the week has: FRI#2, FRI#L, 5L."""
    match = _NTH.fullmatch(item)
    if match is None:
        return None
    day = _value(WEEKDAY, item, match[1] or match[3]) % 7
    if match[3] or match[2] == "L":
        return Term("nth", day, day, 0)
    if not 1 <= int(match[2]) <= _NTH_MAX or len(match[2]) > 1:
        raise _fault(WEEKDAY, item, "a weekday occurs 1 to 5 times in a month", _nth(match))
    return Term("nth", day, day, int(match[2]))


def _nth(match: re.Match[str]) -> str:
    return f"{match[1]}#{max(1, min(_NTH_MAX, int(match[2])))}"


def _hash(field: Field, item: str, match: re.Match[str]) -> Term:
    low, high = field.low, field.hash_max
    if match[1] is not None:
        low, high = _value(field, item, match[1]), _value(field, item, match[2])
        if low > high:
            raise _fault(field, item, f"{low} comes after {high}", f"H({high}-{low})")
    step = 0 if match[3] is None else _step(field, item, match[3])
    return Term("hash", low, high, step)


def _value(field: Field, item: str, text: str) -> int:
    """Read one value and hold it against the field's bounds."""
    value = field.value_of(text)
    if value is None:
        raise _fault(field, item, *shape_hint(field, text))
    if not field.low <= value <= field.high:
        raise _fault(field, item, *value_hint(field, value))
    return value


def _step(field: Field, item: str, text: str | None) -> int:
    if text is None:
        return 1
    if int(text) == 0:
        raise _fault(field, item, "a step of 0 never moves", item[: -len(text)] + "1")
    return int(text)


def _top(field: Field) -> int:
    """Return where `*` ends: Sunday counts once."""
    return 6 if field is WEEKDAY else field.high


def _two_ranges(field: Field, low: int, high: int) -> str:
    """Write a range that wraps as the two ranges it means."""
    ends = ((low, _top(field)), (field.low, high))
    spans = [
        field.text_of(a) if a == b else f"{field.text_of(a)}-{field.text_of(b)}" for a, b in ends
    ]
    return ",".join(spans)


def _fault(field: Field, value: str, reason: str, instead: str | None = None) -> CronFault:
    """Make the sentence of a refusal: field, value, reason, nearest valid form."""
    shown = "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in value)
    cure = f"; write '{instead}'" if instead else ""
    return CronFault(f"{field.name} field, value '{shown}': {reason}{cure}")
