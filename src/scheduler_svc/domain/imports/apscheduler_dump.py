"""Triggers of APScheduler 3 as texts: what `str` and `repr` write, and what pickles hold as JSON.

Promises one shape for all of them: `type`, `fields` or `seconds` or `run_date`, and what is beside.
"""

import re
from typing import Any, Final

from scheduler_svc.domain.imports.finding import Unfit
from scheduler_svc.domain.imports.shape import as_object, shown

FIELDS: Final = ("year", "month", "day", "week", "day_of_week", "hour", "minute", "second")
_LEAST: Final = {"month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}
_STR: Final = re.compile(r"(cron|interval|date)\[(.*)\]", re.DOTALL)
_REPR: Final = re.compile(r"<(Cron|Interval|Date)Trigger \((.*)\)>", re.DOTALL)
_PAIR: Final = re.compile(r"(\w+)=(?:'([^']*)'|(\d+)|datetime\.timedelta\(([^)]*)\))")
_SPAN: Final = re.compile(r"(?:(-?\d+) days?, )?(\d+):(\d\d):(\d\d)(\.\d+)?")
_PART: Final = re.compile(r"(days|seconds|microseconds)=(\d+)")
_DAY: Final = 86_400


def described(trigger: Any) -> dict[str, Any]:
    """Return a trigger in one shape, from an object or from one of its texts."""
    if isinstance(trigger, str):
        return _of_text(trigger.strip())
    found = as_object(trigger, "trigger")
    kind = str(found.get("type", "")).lower().removesuffix("trigger")
    if kind == "cron" and "fields" not in found:
        found["fields"] = {name: found[name] for name in FIELDS if found.get(name) is not None}
    if kind == "interval":
        found["seconds"] = _total(found)
    return {**found, "type": kind}


def _total(found: dict[str, Any]) -> float:
    """Add up the parts of an interval, as its constructor takes them."""
    units = {"weeks": 7 * _DAY, "days": _DAY, "hours": 3600, "minutes": 60, "seconds": 1}
    total = 0.0
    for unit, size in units.items():
        count = found.get(unit) or 0
        if isinstance(count, bool) or not isinstance(count, int | float):
            raise Unfit("shape", f"trigger.{unit} is no number")
        total += count * size
    return total


def _of_text(text: str) -> dict[str, Any]:
    if match := _REPR.fullmatch(text):
        return _of_repr(match[1].lower(), match[2])
    match = _STR.fullmatch(text)
    if match is None:
        raise Unfit("syntax", f"'{shown(text)}' is no trigger that is read: see the documentation")
    kind, inner = match[1], match[2]
    if kind == "cron":
        return {"type": kind, "fields": _pairs(inner)}
    if kind == "interval":
        return {"type": kind, "seconds": _seconds(inner)}
    return {"type": kind, "run_date": inner}


def _of_repr(kind: str, inner: str) -> dict[str, Any]:
    pairs = _pairs(inner)
    beside = {name: value for name, value in pairs.items() if name not in FIELDS}
    if kind == "cron":
        fields = {name: value for name, value in pairs.items() if name in FIELDS}
        return {"type": kind, "fields": fields, **beside}
    if kind == "interval":
        return {"type": kind, "seconds": beside.pop("interval", 0), **beside}
    return {"type": kind, "run_date": re.sub(r"^'|'$", "", inner), **beside}


def _pairs(text: str) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for name, quoted, number, delta in _PAIR.findall(text):
        if delta:
            parts = {unit: int(count) for unit, count in _PART.findall(delta)}
            pairs[name] = parts.get("days", 0) * _DAY + parts.get("seconds", 0)
        else:
            pairs[name] = int(number) if number else quoted
    return pairs


def _seconds(text: str) -> float:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise Unfit("syntax", f"interval[{shown(text)}] is no duration")
    days, hours, minutes, seconds, rest = match.groups()
    whole = int(days or 0) * _DAY + int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + float(rest or 0)


def all_fields(given: dict[str, Any]) -> dict[str, str]:
    """Fill in what is left out: below the finest that is given the least, above it all."""
    texts = {name: str(value) for name, value in given.items() if value is not None}
    odd = sorted(set(texts) - set(FIELDS))
    if odd or not texts:
        raise Unfit("shape", f"trigger.fields has {shown(odd[0]) if odd else 'nothing in it'}")
    finest = max(FIELDS.index(name) for name in texts)
    return {
        name: texts.get(name, _LEAST.get(name, "*") if place > finest else "*")
        for place, name in enumerate(FIELDS)
    }
