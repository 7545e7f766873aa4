"""What is masked of an answer before it is kept: headers by name, parts of a JSON body by pointer.

A pointer is an RFC 6901 one, with `*` for every member or element at its place. Values in, values
out: what a body is, and whether it may be kept at all, is decided where answers are captured.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct

from scheduler_svc.domain.secrecy import MASK

POINTER_LENGTH_MAX = 512
EVERY = "*"
BAD_ESCAPE = re.compile(r"~(?![01])")
INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
# Those that carry secrets by their meaning, and those whose names say so.
SECRET = re.compile(
    r"(?:set-)?cookie2?|(?:proxy-)?authorization|proxy-authenticate|authentication-info"
    r"|(?:.*[-_])?(?:key|apikey|token|secret|password|session)",
    re.DOTALL,
)
PUBLIC = frozenset({"idempotency-key"})

Steps = tuple[str, ...]


class Redaction(Struct, frozen=True):
    """What a target wants masked, beside what is masked always; header names in lower case."""

    headers: frozenset[str] = frozenset()
    pointers: tuple[Steps, ...] = ()


NOTHING_MORE = Redaction()


@lru_cache(maxsize=4096)
def is_secret(header: str) -> bool:
    """Tell whether a header is masked always."""
    return header not in PUBLIC and SECRET.fullmatch(header) is not None


def redaction_of(headers: Sequence[str], pointers: Sequence[str]) -> Redaction:
    """Make the rules of what a target says; its pointers were judged when it was accepted."""
    if not headers and not pointers:
        return NOTHING_MORE
    return Redaction(
        frozenset(name.lower() for name in headers),
        tuple(steps_of(pointer) for pointer in pointers),
    )


def steps_of(pointer: str) -> Steps:
    """Take a pointer apart; ValueError says what is wrong with it. The empty one is everything."""
    if len(pointer) > POINTER_LENGTH_MAX:
        raise ValueError(f"has {len(pointer)} characters; at most {POINTER_LENGTH_MAX}")
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise ValueError(
            "is no JSON pointer: it must begin with a slash, or be empty for the whole"
        )
    if BAD_ESCAPE.search(pointer):
        raise ValueError("has a ~ that is not ~0 (for ~) or ~1 (for /)")
    return tuple(
        step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/")
    )


def mask_parts(document: Any, pointers: Iterable[Steps]) -> Any:
    """Mask what the pointers name in a parsed JSON document, in place; return the document."""
    for steps in pointers:
        document = _masked(document, steps)
    return document


def _masked(value: Any, steps: Steps) -> Any:
    if not steps:
        return MASK
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        # A member that is called "*" is one of all.
        for name in list(value) if step == EVERY else [step] if step in value else []:
            value[name] = _masked(value[name], rest)
    elif isinstance(value, list):
        for place in _places(value, step):
            value[place] = _masked(value[place], rest)
    return value


def _places(items: list[Any], step: str) -> Iterable[int]:
    if step == EVERY:
        return range(len(items))
    if INDEX.fullmatch(step) and int(step) < len(items):
        return (int(step),)
    return ()
