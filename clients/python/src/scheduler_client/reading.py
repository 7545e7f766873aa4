"""From JSON to the values of `values.py`: by their annotations, and with room for what is newer.

Members that a class does not name stay in its `raw`; one that it names and that is missing gets
its default. So a newer service may say more and an older one less.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from scheduler_client.problems import Unreadable

T = TypeVar("T")
NOT_MEMBERS = frozenset({"raw", "etag"})
"""What a value has beside the members of its document."""


def read(shape: type[T], document: Any) -> T:
    """Make a value of a JSON object; raise Unreadable where that can not be."""
    if not isinstance(document, dict):
        raise Unreadable(f"{shape.__name__}: expected an object, got {type(document).__name__}")
    found: dict[str, Any] = {"raw": document} if hasattr(shape, "raw") else {}
    known: Any = shape
    for name, (hint, needed) in _shapes(known).items():
        if name in document:
            found[name] = _value(hint, document[name], f"{shape.__name__}.{name}")
        elif needed:
            raise Unreadable(f"{shape.__name__}: there is no member '{name}'")
    return shape(**found)


@lru_cache(maxsize=64)
def _shapes(shape: Any) -> Mapping[str, tuple[Any, bool]]:
    """Return the annotation of each member, and whether it must be there."""
    hints = get_type_hints(shape)
    return {
        one.name: (
            hints[one.name],
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(shape)
        if one.name not in NOT_MEMBERS
    }


def _value(hint: Any, value: Any, place: str) -> Any:
    if get_origin(hint) is UnionType:
        if value is None:
            return None
        (hint,) = (one for one in get_args(hint) if one is not NoneType)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise Unreadable(f"{place}: expected a list, got {type(value).__name__}")
        return tuple(_value(get_args(hint)[0], one, place) for one in value)
    if hint is datetime:
        return _instant(value, place)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return read(hint, value)
    return _plain(hint, value, place)


def _plain(hint: Any, value: Any, place: str) -> Any:
    """Look at scalars; what is `Any` or a mapping is handed on as it came."""
    if hint is float and type(value) is int:
        return float(value)
    if hint in {str, int, float, bool} and type(value) is not hint:
        raise Unreadable(f"{place}: expected {hint.__name__}, got {type(value).__name__}")
    return value


def _instant(value: Any, place: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Unreadable(f"{place}: {value!r} is no instant") from None
