"""Reading foreign documents: typed answers, or a sentence that says what stands there instead.

Promises never to raise anything but Unfit, whatever a document holds.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from scheduler_svc.domain.duration import MILLISECONDS_MAX, text_of
from scheduler_svc.domain.imports.finding import Unfit

Object = Mapping[str, Any]
_KINDS: Final = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    type(None): "nothing",
}
_SHOWN_MAX: Final = 80
_GO: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_GO_MS: Final = {
    "ns": 1e-6,
    "us": 1e-3,
    "µs": 1e-3,
    "μs": 1e-3,
    "ms": 1.0,
    "s": 1000.0,
    "m": 60_000.0,
    "h": 3_600_000.0,
}


def shown(value: object) -> str:
    """Write a foreign value so that it stays one short line."""
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 1]}…"


def as_object(value: object, path: str) -> dict[str, Any]:
    """Return an object whose keys are texts."""
    if not isinstance(value, dict):
        raise _wrong(value, path, "an object")
    return {str(key): inner for key, inner in value.items()}


def object_at(above: Object, key: str, path: str = "") -> dict[str, Any]:
    """Return the object at a key; where there is none, an empty one."""
    found = above.get(key)
    return {} if found is None else as_object(found, _join(path, key))


def list_at(above: Object, key: str, path: str = "") -> list[Any]:
    """Return the list at a key; where there is none, an empty one."""
    found = above.get(key)
    if found is None:
        return []
    if not isinstance(found, list | tuple):
        raise _wrong(found, _join(path, key), "a list")
    return list(found)


def text_at(above: Object, key: str, path: str = "") -> str | None:
    """Return the text at a key, None where there is none."""
    found = above.get(key)
    if found is None or isinstance(found, str):
        return found
    raise _wrong(found, _join(path, key), "a text")


def needed_text(above: Object, key: str, path: str = "") -> str:
    """Return the text at a key that must have one."""
    found = text_at(above, key, path)
    if not found:
        raise Unfit("shape", f"{_join(path, key)} is missing")
    return found


def number_at(above: Object, key: str, path: str = "") -> int | None:
    """Return the whole number at a key, None where there is none; a text of digits counts."""
    found = above.get(key)
    if found is None or found == "":
        return None
    if isinstance(found, str) and re.fullmatch(r"-?\d{1,15}", found, re.ASCII):
        return int(found)
    if isinstance(found, bool) or not isinstance(found, int | float) or found != found // 1:
        raise _wrong(found, _join(path, key), "a whole number")
    return int(found)


def flag_at(above: Object, key: str, path: str = "") -> bool:
    """Return the truth value at a key; where there is none, no."""
    found = above.get(key)
    if found is None:
        return False
    if not isinstance(found, bool):
        raise _wrong(found, _join(path, key), "true or false")
    return found


def instant_of(value: object, path: str) -> datetime:
    """Read an instant: a text with an offset, or seconds since 1970 as AWS's tools write them."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value.strip())
            if found.tzinfo is not None:
                return found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise Unfit("shape", f"{path} is no instant with an offset: '{shown(value)}'")


def instant_text(instant: datetime) -> str:
    """Write an instant as files do: UTC, to the millisecond where it needs that."""
    precise = "milliseconds" if instant.microsecond else "seconds"
    return instant.astimezone(UTC).isoformat(timespec=precise).replace("+00:00", "Z")


def go_duration_ms(text: str) -> int | None:
    """Read a duration as Go writes it, `1h30m` or `1.5h`; None where it is none."""
    parts = _GO.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    total = sum(float(number) * _GO_MS[unit] for number, unit in parts)
    return int(total) if total <= MILLISECONDS_MAX else None


def duration(seconds: float) -> str:
    """Write seconds as a duration of ours."""
    if not 0 <= seconds * 1000 <= MILLISECONDS_MAX:
        raise Unfit("shape", f"{shown(seconds)} seconds are no duration of up to a hundred years")
    return text_of(int(seconds * 1000))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _wrong(found: object, path: str, wanted: str) -> Unfit:
    return Unfit("shape", f"{path} must be {wanted}, and is {_KINDS.get(type(found), 'no JSON')}")
