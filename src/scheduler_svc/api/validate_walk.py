"""Every fault of a JSON document against a type, each with its pointer and a sentence.

Walks the same type information that msgspec decodes by and the OpenAPI document is made from.
It makes no values, and stops at FAULTS_MAX: nobody reads more.
"""

import difflib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from msgspec import inspect

from scheduler_svc.api.validate_json import member
from scheduler_svc.api.validate_text import instant_fault, pattern_fault, uuid_fault
from scheduler_svc.domain.errors import Fault

FAULTS_MAX = 100
SHOWN_MAX = 64

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


_type_info = lru_cache(maxsize=512)(inspect.type_info)


def type_info(shape: Any) -> inspect.Type:
    """Return what msgspec knows of a type."""
    return _type_info(shape)


class Walk:
    """The faults found so far."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    @property
    def is_full(self) -> bool:
        return len(self.faults) >= FAULTS_MAX

    def value(self, value: Any, kind: inspect.Type, pointer: str) -> None:  # noqa: C901
        """Judge one value by its type, one case a type."""
        if self.is_full:
            return
        match kind := _bare(kind):
            case inspect.UnionType():
                self._union(value, kind, pointer)
            case inspect.StructType() if isinstance(value, dict):
                self._struct(value, kind, pointer)
            case inspect.DictType() if isinstance(value, dict):
                self._dict(value, kind, pointer)
            case inspect.ListType() if isinstance(value, list):
                self._list(value, kind, pointer)
            case inspect.StrType() if isinstance(value, str):
                self._text(value, kind, pointer)
            case inspect.IntType() | inspect.FloatType() if _accepts(kind, value):
                self._number(value, kind, pointer)
            case inspect.LiteralType():
                self._literal(value, kind, pointer)
            case inspect.DateTimeType() if isinstance(value, str):
                self._add(pointer, instant_fault(value, offset=kind.tz is not False))
            case inspect.UUIDType() if isinstance(value, str):
                self._add(pointer, uuid_fault(value))
            case _ if not _accepts(kind, value):
                self._add(pointer, f"must be {_name(kind)}, not {_KINDS[type(value)]}")
            case _:
                pass

    def _add(self, pointer: str, detail: str | None, code: str = "invalid") -> None:
        if detail is not None:
            self.faults.append(Fault(pointer, detail, code))

    def _union(self, value: Any, kind: inspect.UnionType, pointer: str) -> None:
        fitting = [choice for choice in kind.types if _accepts(_bare(choice), value)]
        tagged = [choice for choice in map(_bare, fitting) if _tag_field(choice) is not None]
        if tagged:
            self._tagged(value, tagged, pointer)
            return
        if fitting:
            self.value(value, fitting[0], pointer)
            return
        wanted = " or ".join(dict.fromkeys(_name(_bare(choice)) for choice in kind.types))
        self._add(pointer, f"must be {wanted}, not {_KINDS[type(value)]}")

    def _struct(self, value: dict[str, Any], kind: inspect.StructType, pointer: str) -> None:
        fields = {field.encode_name: field for field in kind.fields}
        for name, inner in value.items():
            if self.is_full:
                return
            if name in fields:
                self.value(inner, fields[name].type, member(pointer, name))
            elif kind.forbid_unknown_fields:
                self._add(member(pointer, name), unknown("field", name, fields), "unknown_field")
        for name, field in fields.items():
            if field.required and name not in value:
                self._add(member(pointer, name), "is required")

    def _tagged(self, value: dict[str, Any], kinds: list[Any], pointer: str) -> None:
        """Judge an object by the one of several structs that its tag names."""
        field = kinds[0].tag_field
        by_tag = {str(kind.tag): kind for kind in kinds}
        given = value.get(field)
        if isinstance(given, str) and given in by_tag:
            rest = {name: inner for name, inner in value.items() if name != field}
            self._struct(rest, by_tag[given], pointer)
        elif given is None:
            self._add(member(pointer, field), f"is required: one of {', '.join(by_tag)}")
        else:
            self._literal(given, inspect.LiteralType(tuple(by_tag)), member(pointer, field))

    def _dict(self, value: dict[str, Any], kind: inspect.DictType, pointer: str) -> None:
        self._size(len(value), kind, pointer, "members")
        for name, inner in value.items():
            before = len(self.faults)
            self.value(name, kind.key_type, member(pointer, name))
            if len(self.faults) == before:
                self.value(inner, kind.value_type, member(pointer, name))

    def _list(self, value: list[Any], kind: inspect.ListType, pointer: str) -> None:
        self._size(len(value), kind, pointer, "items")
        for index, inner in enumerate(value):
            self.value(inner, kind.item_type, member(pointer, index))

    def _text(self, value: str, kind: inspect.StrType, pointer: str) -> None:
        if "\0" in value:
            self._add(pointer, "must not hold a NUL character")
            return
        self._size(len(value), kind, pointer, "characters")
        if kind.pattern is not None:
            self._add(pointer, pattern_fault(value, kind.pattern))

    def _size(
        self,
        size: int,
        kind: inspect.DictType | inspect.ListType | inspect.StrType,
        pointer: str,
        what: str,
    ) -> None:
        if kind.max_length is not None and size > kind.max_length:
            self._add(pointer, f"has {size} {what}; at most {kind.max_length} are allowed")
        if kind.min_length is not None and size < kind.min_length:
            self._add(pointer, f"has {size} {what}; at least {kind.min_length} is needed")

    def _number(
        self, value: float, kind: inspect.IntType | inspect.FloatType, pointer: str
    ) -> None:
        low, high = kind.ge, kind.le
        below = low is not None and value < low
        above = high is not None and value > high
        if not (below or above):
            return
        if low is not None and high is not None:
            self._add(pointer, f"must be from {low:g} to {high:g}, not {_shown(value)}")
        elif below:
            self._add(pointer, f"must be at least {low:g}, not {_shown(value)}")
        else:
            self._add(pointer, f"must be at most {high:g}, not {_shown(value)}")

    def _literal(self, value: Any, kind: inspect.LiteralType, pointer: str) -> None:
        if any(value == choice and type(value) is type(choice) for choice in kind.values):
            return
        texts = [str(choice) for choice in kind.values]
        allowed = f"must be one of {', '.join(texts)}" if len(texts) > 1 else f"must be {texts[0]}"
        near = _near(str(value), texts)
        self._add(pointer, f"{allowed}, not {_shown(value)}" + (f"; {near}" if near else ""))


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is not known here, with the likeliest meant."""
    names = list(known)
    near = _near(name, names)
    listed = f"known are {', '.join(names)}" if names else "none is known here"
    return f"unknown {what} {_shown(name)}; {near or listed}"


def _near(name: str, known: list[str]) -> str | None:
    lower = {text.lower(): text for text in known}
    found = difflib.get_close_matches(name.lower()[:SHOWN_MAX], lower, n=1, cutoff=0.6)
    return f"did you mean '{lower[found[0]]}'?" if found else None


def _shown(value: Any) -> str:
    if isinstance(value, dict | list) or value is None:
        return _KINDS[type(value)]
    text = str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
    return f"'{text}'" if isinstance(value, str) else text


def _tag_field(kind: inspect.Type) -> str | None:
    return kind.tag_field if isinstance(kind, inspect.StructType) else None


def _bare(kind: inspect.Type) -> inspect.Type:
    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _accepts(kind: inspect.Type, value: Any) -> bool:  # noqa: PLR0911 - one case a type
    """Tell whether a value is of the JSON kind of a type, whatever its limits."""
    match kind:
        case inspect.StructType() | inspect.DictType():
            return isinstance(value, dict)
        case inspect.ListType():
            return isinstance(value, list)
        case inspect.StrType() | inspect.DateTimeType() | inspect.UUIDType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.LiteralType():
            return isinstance(value, str | int)
        case _:
            return True


def _name(kind: inspect.Type) -> str:  # noqa: PLR0911 - one case a type
    match kind:
        case inspect.StructType() | inspect.DictType():
            return "an object"
        case inspect.ListType():
            return "a list"
        case inspect.StrType() | inspect.LiteralType():
            return "a string"
        case inspect.DateTimeType():
            return "an RFC 3339 instant"
        case inspect.UUIDType():
            return "an id"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case _:
            return "null"
