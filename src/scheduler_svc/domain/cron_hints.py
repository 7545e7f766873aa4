"""Why a piece of a cron expression is refused, and the nearest form that is not.

Promises a reason for every text and a cure where one is likely. Judges nothing: `cron_grammar`
has already refused what comes here.
"""

import re
from difflib import get_close_matches
from typing import Final

from scheduler_svc.domain.cron_fields import DAY, FIVE, HOUR, MONTH, WEEKDAY, YEAR, Field

Hint = tuple[str, str | None]
"""A reason, and what to write instead where that is clear."""

Table = tuple[tuple[str, str, str | None], ...]
"""Rows of: what an item looks like, why that is refused, what to write (a `re` template)."""

_DAY_LOWER: Final = re.compile(r"l|lw|Lw|lW|[0-9]{1,2}w")
_DAY_TABLE: Final[Table] = (
    (r"W([0-9]{1,2})", "W comes after the day", r"\1W"),
    (r"([0-9]+)-[0-9]+W", "W stands for one day and can not follow a range", r"\1W"),
    (r"L-[0-9]+", "counting back from the last day has no form here", "L"),
    (r".*#.*", "# is for the day-of-week field only", None),
)
_WEEKDAY_LOWER: Final = re.compile(r"[0-7]l|[0-7A-Za-z]+#l")
_WEEKDAY_TABLE: Final[Table] = (
    (r"L", "L needs a weekday to be the last of", "SAT#L"),
    (r"([A-Za-z]{3})[Ll]", "the last of a named weekday is written with #", r"\1#L"),
    (r"[Ll]([0-7]|[A-Za-z]{3})", "L comes after the weekday", r"\1#L"),
    (r".*[0-9]W", "W is for the day-of-month field only", None),
    (r"([0-7]|[A-Za-z]{3})#.*", "# takes one weekday and 1 to 5 or L", r"\1#1"),
    (r".*#.*", "# takes one weekday and 1 to 5 or L", "MON#1"),
)
_BARE_STEP: Final = re.compile(r"([0-9]{0,4}|[A-Za-z]{3})/([0-9]{1,4})")
_RANGE_TABLE: Final[Table] = (
    (r"([^/]*/[^/]*)/.*", "a range has one step", r"\1"),
    (r"-([0-9]+)", "values are not negative", r"\1"),
    (r"-.*|[^-]*-", "a range needs both its ends", None),
    (r"([0-9]+)\.[0-9]+", "values are whole numbers", r"\1"),
    (r"\*.+", "* stands alone or before a step", "*"),
)


def field_count_hint(texts: list[str]) -> str:
    """Say how many fields there should be."""
    if not texts:
        return "the expression is empty; write five fields, like '0 9 * * MON'"
    plural = "field" if len(texts) == 1 else "fields"
    missing = FIVE - len(texts)
    cure = f"; write '{' '.join([*texts, *'*' * missing])}'" if missing > 0 else ""
    return (
        f"the expression has {len(texts)} {plural}; it takes five (minute hour day-of-month"
        f" month day-of-week), six with seconds first, or seven with the year last{cure}"
    )


def value_hint(field: Field, value: int) -> Hint:
    """Say why a number is out of bounds."""
    if field is HOUR and value == field.high + 1:
        return "hours are 0 to 23, and midnight is 0", "0"
    nearest = field.low if value < field.low else field.high
    return f"{value} is outside {field.low} to {field.high}", str(nearest)


def shape_hint(field: Field, item: str) -> Hint:
    """Say why an item has no meaning in its field."""
    if not item:
        return "a list has an empty item", None
    for reader in (_stray, _modifier, _step_or_range, _name):
        hint = reader(field, item)
        if hint is not None:
            return hint
    return f"this is neither a number nor one of * , - / for the {field.name}", None


def _stray(field: Field, item: str) -> Hint | None:
    """Read signs and letters of other dialects."""
    if item in {"R", "r"} or item.startswith(("R(", "R/", "r(")):
        return "random values differ at each reading", "H" + item[1:]
    if "~" in item:
        low, _, high = item.partition("~")
        return "random values differ at each reading", f"H({low}-{high})" if low and high else "H"
    if "?" in item:
        where = "stands alone in its field" if field in {DAY, WEEKDAY} else "is for day fields only"
        return f"? {where}", "*"
    if "+" in item:
        return "+ may only come first in the day-of-week field", item.replace("+", "") or None
    if not item.isascii() or not item.isprintable():
        return "only ASCII letters, digits and * , - / # + ( ) have a meaning", None
    return None


def _modifier(field: Field, item: str) -> Hint | None:
    """Read H, L, W and # where they do not belong or are written wrongly."""
    if field is YEAR and item.startswith("H"):
        return "a hash of the year would make most jobs never run", "*"
    if re.fullmatch(r"h|h\(.*\)|h/.*", item):
        return "H is upper case", "H" + item[1:]
    if field in {DAY, WEEKDAY}:
        table, lower = (
            (_DAY_TABLE, _DAY_LOWER) if field is DAY else (_WEEKDAY_TABLE, _WEEKDAY_LOWER)
        )
        if lower.fullmatch(item):
            return "L and W are upper case", item.upper()
        return _from_table(table, item)
    if re.search(r"[#LW]", item) and field is not MONTH:
        return "L, W and # are for day fields only", None
    return None


def _from_table(table: Table, item: str) -> Hint | None:
    """Return the first row that fits an item, its cure filled in."""
    for pattern, reason, cure in table:
        if match := re.fullmatch(pattern, item):
            return reason, match.expand(cure) if cure else None
    return None


def _step_or_range(field: Field, item: str) -> Hint | None:
    """Read steps and ranges that lack an end."""
    top = 6 if field is WEEKDAY else field.high
    if match := _BARE_STEP.fullmatch(item):
        start = f"{match[1]}-{field.text_of(top)}" if match[1] else "*"
        if match[1] and field.value_of(match[1]) in {field.high, top}:
            return "a step follows * or a full range", match[1]
        return "a step follows * or a full range", f"{start}/{match[2]}"
    return _from_table(_RANGE_TABLE, item)


def _name(field: Field, item: str) -> Hint | None:
    """Read names that are misspelt, too long, or of another field."""
    word = re.split(r"[-/#]", item)[0] if not item[0].isdigit() else re.split(r"[-/#]", item)[-1]
    if not word.isalpha():
        return None
    if not field.names:
        return f"the {field.name} field takes numbers, not names", None
    near = [name for name in field.names if word.upper().startswith(name)] or get_close_matches(
        word.upper(), field.names, n=1, cutoff=0.4
    )
    known = ", ".join(field.names)
    return f"'{word}' is no name here; the names are {known}", near[0] if near else None
