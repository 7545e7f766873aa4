"""The fields of the settings as an environment has them: variables, defaults, bounds, plain text.

Reads what `fields` says of each; adds no field and judges no value.
"""

from collections.abc import Mapping
from typing import get_args, get_type_hints

import msgspec
from msgspec import Meta

from scheduler_svc.domain import duration
from scheduler_svc.settings.fields import Settings

PREFIX = "SCHEDULER_"
HINTS = get_type_hints(Settings, include_extras=True)
DEFAULTS: Mapping[str, object] = {
    field.name: field.default for field in msgspec.structs.fields(Settings)
}


def variable(field: str) -> str:
    """Name the environment variable of a field."""
    return "DATABASE_URL" if field == "database_url" else PREFIX + field.upper()


def meta_of(field: str) -> Meta:
    meta: Meta = HINTS[field].__metadata__[0]
    return meta


def is_duration(field: str) -> bool:
    return bool((meta_of(field).extra or {}).get("duration"))


def bounds(field: str) -> tuple[str, str] | None:
    """Give the least and the greatest value as one would write them, None where there are none."""
    meta = meta_of(field)
    return None if meta.ge is None else (plain(field, meta.ge), plain(field, meta.le))


def wanted(field: str) -> str | None:
    """Say what a field takes, where its type says it: a range, a choice, yes or no."""
    if limits := bounds(field):
        noun = "a whole number" if get_args(HINTS[field])[0] is int else "a number"
        noun = "a duration like 15s" if is_duration(field) else noun
        return f"{noun} from {limits[0]} to {limits[1]}"
    if choices := get_args(get_args(HINTS[field])[0]):
        named = [choice for choice in choices if isinstance(choice, str)]
        return f"one of {', '.join(named)}" if named else None
    return "true or false" if isinstance(DEFAULTS[field], bool) else None


def plain(field: str, value: object) -> str:
    """Write a value as the environment would have it."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(str(part) for part in value)
        case int() | float() if is_duration(field):
            return duration.text_of(round(value * 1000))
        case _:
            return str(value)
