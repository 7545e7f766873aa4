"""Query strings: from text to the values a route asks for, or every fault of them at once.

A parameter that the route does not name is refused: a mistyped filter would answer with everything.
"""

import re
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import inspect

from scheduler_svc.api.route import QueryParam, Route
from scheduler_svc.api.validate_walk import Walk, type_info, unknown
from scheduler_svc.domain.errors import Fault, Invalid

FIELDS_MAX = 200
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_LOST_PLUS = re.compile(r"(?<=\d) (?=\d\d:\d\d$)")


def read(query_string: bytes, route: Route) -> dict[str, Any]:
    """Return a value for every parameter of a route; raise Invalid with all faults."""
    if not query_string and (unasked := route.unasked) is not None:
        # A list belongs to one request.
        return {name: [] if value == [] else value for name, value in unasked.items()}
    return parse(query_string, route.params)


def parse(query_string: bytes, params: tuple[QueryParam, ...]) -> dict[str, Any]:
    """Return a value for every parameter; raise Invalid with all faults."""
    given = _split(query_string)
    known = {param.name: param for param in params}
    faults = [
        _fault(name, unknown("query parameter", name, known)) for name in given if name not in known
    ]
    values: dict[str, Any] = {}
    for name, param in known.items():
        values[name] = _read(given.get(name, []), param, faults)
    if faults:
        raise Invalid(faults)
    return values


def _split(query_string: bytes) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except UnicodeError:
        raise Invalid([_fault("", "the query is not percent-encoded UTF-8")]) from None
    except ValueError:
        raise Invalid([_fault("", f"more than {FIELDS_MAX} query parameters")]) from None
    for name, text in pairs:
        given.setdefault(name, []).append(text)
    return given


def _read(texts: list[str], param: QueryParam, faults: list[Fault]) -> Any:
    if not texts:
        if param.required:
            faults.append(_fault(param.name, "is required"))
        return [] if param.repeated and param.default is None else param.default
    if len(texts) > 1 and not param.repeated:
        faults.append(_fault(param.name, "may be given only once"))
        return None
    values = [_value(text, param, faults) for text in texts]
    return values if param.repeated else values[0]


def _value(text: str, param: QueryParam, faults: list[Fault]) -> Any:
    """Read one text as the parameter's type; a fault is noted and None returned."""
    kind = _kind_of(param.type)
    if isinstance(kind, inspect.DateTimeType):
        text = _LOST_PLUS.sub("+", text)  # a + that nobody encoded is a space by now
    plain = _plain(text, kind)
    walk = Walk()
    walk.value(plain, type_info(param.type), "")
    if walk.faults:
        faults.extend(_fault(param.name, fault.detail) for fault in walk.faults)
        return None
    return _typed(plain, kind)


def _plain(text: str, kind: inspect.Type) -> str | int | bool:
    """Return what JSON would have for this text; the text itself where it fits not."""
    if isinstance(kind, inspect.IntType) and _INTEGER.fullmatch(text):
        return int(text)
    if isinstance(kind, inspect.BoolType) and text in {"true", "false"}:
        return text == "true"
    return text


def _typed(plain: str | int | bool, kind: inspect.Type) -> Any:  # noqa: FBT001
    if isinstance(kind, inspect.DateTimeType):
        return msgspec.convert(plain, datetime)
    if isinstance(kind, inspect.UUIDType):
        return UUID(str(plain))
    return plain


def _kind_of(shape: Any) -> inspect.Type:
    kind = type_info(shape)
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _fault(name: str, detail: str) -> Fault:
    return Fault("", detail, parameter=name)
