"""YAML to values, and where each of them stands: from the parser's events, with bounds on all.

Promises texts where YAML 1.1 would surprise (`scalar`), mappings whose keys are texts, each given
once, and refusals with line and column. Runs nothing that a tag names, and an alias can not make a
small file large. JSON is read as JSON first, so that its escapes mean what they mean there.
"""

import json
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn

import yaml

from scheduler_svc.cli.files.fault import BadFile
from scheduler_svc.cli.files.scalar import value_of

BYTES_MAX: Final = 32 * 1024 * 1024
DEPTH_MAX: Final = 100
ALIASED_MAX: Final = 1_000_000
"""Values that aliases may repeat in all."""
TEXT: Final = "tag:yaml.org,2002:str"
_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Lines = dict[str, int]
"""The line of each value, by its pointer (RFC 6901)."""


class Document(NamedTuple):
    """One document: its value, and its lines where they were asked for."""

    value: Any
    lines: Lines


def documents(text: str, path: str, *, lines: bool = False) -> list[Document]:
    """Return the documents of a file, the empty ones left out; raise BadFile."""
    if len(text) > BYTES_MAX:
        raise BadFile(path, f"is longer than {BYTES_MAX // 1024**2} MiB")
    if not lines and text.lstrip()[:1] in ("{", "["):
        found = _as_json(text, path)
        if found is not None:
            return [found]
    try:
        return list(_Reader(text, path, lines=lines).documents())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = error.problem or "is no YAML"
        if mark is None:
            raise BadFile(path, why) from None
        raise BadFile(path, why, mark.line + 1, mark.column + 1) from None
    except yaml.YAMLError as error:
        raise BadFile(path, str(error).splitlines()[0]) from None


def _as_json(text: str, path: str) -> Document | None:
    """Read JSON; None where it is none, for YAML has braces too."""
    try:
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse, parse_float=_finite
        )
        return Document(value, {})
    except _Twice as twice:
        raise BadFile(path, f"the key {twice.args[0]!r} is given twice") from None
    except (ValueError, RecursionError):
        return None


class _Twice(Exception):
    """A key that is given twice; its argument."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        raise _Twice(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return made


def _finite(text: str) -> float:
    """Read a number that is none of those that nothing holds: YAML tells where it stands."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


class _Reader:
    """Takes one file apart, event by event."""

    def __init__(self, text: str, path: str, *, lines: bool) -> None:
        self._next = _Loader(text).get_event
        self._path = path
        self._asked = lines
        self._lines: Lines = {}
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0
        self._count = 0
        self._depth = 0

    def documents(self) -> Iterator[Document]:
        """Yield the documents."""
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                self._lines, self._anchors = {}, {}
                first = self._next()
                empty = isinstance(first, yaml.ScalarEvent) and not first.value and not first.style
                value = self._value(first, "")
                if not empty:
                    yield Document(value, self._lines)

    def _value(self, event: Any, pointer: str) -> Any:
        self._count += 1
        if self._asked:
            self._lines[pointer] = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = (value, 1)
            return value
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            self._fail(event, f"the tag {event.tag} means nothing here")
        if self._depth == DEPTH_MAX:
            self._fail(event, f"is nested more than {DEPTH_MAX} levels deep")
        before = self._count + self._aliased
        self._depth += 1
        mapping = isinstance(event, yaml.MappingStartEvent)
        made: Any = self._mapping(pointer) if mapping else self._list(pointer)
        self._depth -= 1
        if event.anchor is not None:
            self._anchors[event.anchor] = (made, self._count + self._aliased - before + 1)
        return made

    def _mapping(self, pointer: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._fail(event, "a key must be a text")
            key = event.value
            if key in made:
                self._fail(event, f"the key {key!r} is given twice")
            if key == "<<" and not event.style:
                self._fail(event, "'<<' merges nothing here; put what jobs share under 'defaults'")
            below = f"{pointer}/{_escaped(key)}" if self._asked else ""
            made[key] = self._value(self._next(), below)
        return made

    def _list(self, pointer: str) -> list[Any]:
        made: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            made.append(self._value(event, f"{pointer}/{len(made)}" if self._asked else ""))
        return made

    def _scalar(self, event: Any) -> Any:
        if event.style or event.tag in (TEXT, "!"):
            return event.value
        if event.tag is not None:
            self._fail(event, f"the tag {event.tag} means nothing here")
        try:
            return value_of(event.value)
        except ValueError as error:
            self._fail(event, str(error))

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            self._fail(event, f"'*{event.anchor}' names nothing that stands before it")
        value, size = self._anchors[event.anchor]
        self._aliased += size
        if self._aliased > ALIASED_MAX:
            self._fail(event, f"aliases repeat more than {ALIASED_MAX:,} values")
        return value

    def _fail(self, event: Any, why: str) -> NoReturn:
        mark = event.start_mark
        raise BadFile(self._path, why, mark.line + 1, mark.column + 1)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
