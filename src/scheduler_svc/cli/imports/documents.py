"""Reading what was exported elsewhere: text, YAML or JSON, of bounded size and depth.

Promises a sentence for whatever is wrong with a file. Nothing in a file is ever run, and no alias
of YAML is followed: a few lines of them can stand for more than memory holds.
"""

import ast
import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

OUT: Final = "-"
BYTES_MAX: Final = 16 * 1024 * 1024
LITERAL_MAX: Final = 1024 * 1024
DEPTH_MAX: Final = 60
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Unreadable(Exception):
    """A file that is not what it should be."""


def read_text(path: str) -> str:
    """Read a file, `-` for the standard input, as UTF-8."""
    try:
        if path == OUT:
            raw = sys.stdin.buffer.read(BYTES_MAX + 1)
        else:
            with Path(path).open("rb") as opened:
                raw = opened.read(BYTES_MAX + 1)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    if len(raw) > BYTES_MAX:
        raise Unreadable(f"{path}: more than {BYTES_MAX // 1024 // 1024} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path}: is no UTF-8 at byte {error.start}") from None
    if "\0" in text:
        raise Unreadable(f"{path}: is no text")
    return text


def read_json(text: str, path: str) -> Any:
    """Read JSON."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise Unreadable(f"{path}: is nested too deep") from None
    except ValueError as error:
        raise Unreadable(f"{path}: is no JSON: {error}") from None


def read_literal(text: str, path: str) -> Any:
    """Read JSON, or what Python's `print` makes of lists and dictionaries."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    if len(text) > LITERAL_MAX:
        raise Unreadable(f"{path}: is no JSON, and too long to be read otherwise")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise Unreadable(f"{path}: is neither JSON nor a literal of Python") from None


def read_yaml(text: str, path: str) -> list[Any]:
    """Read the documents of a YAML file; JSON is taken for what it is."""
    if text.lstrip()[:1] in {"{", "["}:
        return [read_json(text, path)]
    try:
        _judge_yaml(text, path)
        return list(yaml.load_all(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise Unreadable(f"{path}: is no YAML: {_where(error)}") from None
    except (RecursionError, ValueError, OverflowError):
        raise Unreadable(f"{path}: holds values that cannot be read") from None


def _judge_yaml(text: str, path: str) -> None:
    """Look at the stream before anything is built of it."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        match event:
            case yaml.AliasEvent():
                raise Unreadable(f"{path}: has aliases (*name), which are not followed")
            case yaml.CollectionStartEvent():
                depth += 1
            case yaml.CollectionEndEvent():
                depth -= 1
            case _:
                pass
        if depth > DEPTH_MAX:
            raise Unreadable(f"{path}: is nested too deep")


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    told = getattr(error, "problem", None) or "it ends too early"
    return str(told) if mark is None else f"line {mark.line + 1}: {told}"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
