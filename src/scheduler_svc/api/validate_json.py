"""Bytes to a JSON document, strictly: what is no JSON is refused with the reason.

Promises documents of bounded depth, in UTF-8 without a mark, without NaN or half characters.
Numbers that no machine word or float holds are not refused here but found and named by pointer.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

from scheduler_svc.domain.errors import Fault, Malformed

DEPTH_MAX = 100
DIGITS_MAX = 4300
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
_OUT_OF_RANGE = "the number is out of range"


def parse(raw: bytes) -> tuple[Any, list[Fault]]:
    """Return the document and the numbers in it that are out of range; raise Malformed."""
    try:
        document, faults = msgspec.json.decode(raw), []
    except msgspec.ValidationError:
        # Well-formed, but some number fits no type: the slower parser finds out which.
        document = _parse_any_number(raw)
        faults = [Fault(at, _OUT_OF_RANGE) for at, value in _numbers(document, "") if value]
    except UnicodeDecodeError:
        raise Malformed("The body is not valid UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        raise Malformed(_reason(raw, str(error))) from None
    if raw.count(b"[") + raw.count(b"{") > DEPTH_MAX and not _is_shallow(document):
        raise _too_deep()
    return document, faults


def member(pointer: str, key: str | int) -> str:
    """Return the RFC 6901 pointer of a member."""
    text = str(key).replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{text}"


def _reason(raw: bytes, complaint: str) -> str:
    if not raw.strip():
        return "The body is empty; a JSON value is expected."
    if raw.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return "The body begins with a byte order mark; send UTF-8 without one."
    if _HALF_CHARACTER.search(raw):
        return "The body is no JSON, or holds half of a surrogate pair."
    return f"The body is no JSON: {complaint.removeprefix('JSON is malformed: ')}."


def _too_deep() -> Malformed:
    return Malformed(f"The body is nested more than {DEPTH_MAX} levels deep.")


def _parse_any_number(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(), parse_int=_integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"The body is no JSON: {error}.") from None


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= DIGITS_MAX else math.inf


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _numbers(value: Any, pointer: str) -> Iterator[tuple[str, bool]]:
    """Yield the pointer of each float and whether it is out of range."""
    if isinstance(value, float):
        yield pointer, not math.isfinite(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, member(pointer, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, member(pointer, index))


def _is_shallow(document: Any) -> bool:
    level = [document]
    for _ in range(DEPTH_MAX + 1):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False
