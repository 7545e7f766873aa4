"""Request bodies: from bytes to values, or every fault of them at once.

Promises that what is decoded has been walked, so that its texts hold no NUL and its numbers are in
range; and that raw parts (`target.body`) keep their exact bytes.
"""

import re
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from scheduler_svc.api.validate_json import member, parse
from scheduler_svc.api.validate_walk import Walk, type_info
from scheduler_svc.domain.errors import Fault, Invalid

T = TypeVar("T")
_WHERE = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]")


class Examined(Struct, Generic[T], frozen=True):
    """A body looked at: its value (None where it has faults), all faults, the parsed JSON."""

    value: T | None
    faults: list[Fault]
    document: Any


def examine(raw: bytes, shape: type[T], *, read_only: frozenset[str] = frozenset()) -> Examined[T]:
    """Look for all faults of shape and limits; raise Malformed where it is no JSON.

    `read_only` names members of the top object that exist but may not be set.
    """
    document, faults = parse(raw)
    walk = Walk()
    walk.value(document, type_info(shape), "")
    known = {fault.pointer for fault in faults}
    faults += [fault for fault in walk.faults if fault.pointer not in known]
    if faults:
        return Examined(None, _told_read_only(faults, read_only), document)
    try:
        return Examined(msgspec.json.decode(raw, type=shape), [], document)
    except msgspec.ValidationError as error:  # a limit that the walk does not know
        return Examined(None, [_fault_of(str(error))], document)


def decode(raw: bytes, shape: type[T], *, read_only: frozenset[str] = frozenset()) -> T:
    """Return the value; raise Malformed, or Invalid with all faults."""
    seen = examine(raw, shape, read_only=read_only)
    if seen.value is None:
        raise Invalid(seen.faults)
    return seen.value


def part(document: Any, shape: type[T]) -> T | None:
    """Return the value of a part of a parsed document, or None where that part has faults."""
    walk = Walk()
    walk.value(document, type_info(shape), "")
    if walk.faults:
        return None
    try:
        # By way of text, for a raw part is made of text only.
        return msgspec.json.decode(msgspec.json.encode(document), type=shape)
    except (msgspec.MsgspecError, OverflowError):
        return None


def unknown_names(document: Any, shape: Any, *, read_only: frozenset[str]) -> list[Fault]:
    """Return only the faults of names, for a merge patch: its values count once merged."""
    walk = Walk()
    walk.value(document, type_info(shape), "")
    return [
        fault
        for fault in _told_read_only(walk.faults, read_only)
        if fault.code in {"unknown_field", "read_only"}
    ]


def _told_read_only(faults: list[Fault], read_only: frozenset[str]) -> list[Fault]:
    pointers = {member("", name): name for name in read_only}
    return [
        Fault(
            fault.pointer,
            f"'{pointers[fault.pointer]}' is kept by the service and can not be set; remove it",
            "read_only",
        )
        if fault.code == "unknown_field" and fault.pointer in pointers
        else fault
        for fault in faults
    ]


def _fault_of(complaint: str) -> Fault:
    """Make a fault of msgspec's sentence, its path included."""
    where = _WHERE.search(complaint)
    if where is None:
        return Fault("", complaint)
    pointer = ""
    for step in _STEP.finditer(where["path"]):
        pointer = member(pointer, step["name"] or step["index"])
    return Fault(pointer, complaint[: where.start()])
