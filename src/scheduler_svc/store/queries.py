"""The named statements of `sql/*.sql`, read once at import.

Promises that each name exists once and that its header names as many parameters as the text uses.
Will not build SQL: what is sent is what the file says, after the statement's name as a comment, so
that pg_stat_activity shows it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

_HEADER = re.compile(r"^-- (?P<name>[a-z][a-z0-9_]*)\((?P<params>[^)]*)\)$")
_NOT_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$(\d+)")


class Query(NamedTuple):
    name: str
    params: tuple[str, ...]
    why: str
    sql: str


def parse(text: str, source: str) -> Iterator[Query]:
    """Read the blocks of one file: a header after a blank line, comments that say why, code.

    Raises ValueError, with file and line, when header and placeholders do not agree.
    """
    for number, block in _blocks(text):
        header = _HEADER.match(block[0])
        if header is None:
            raise ValueError(f"{source}:{number}: expected '-- name(param, ...)', got {block[0]!r}")
        params = tuple(name.strip() for name in header["params"].split(",") if name.strip())
        why = [line for line in block[1:] if line.startswith("--")]
        body = "\n".join(block[1:]).strip().removesuffix(";")
        _check_placeholders(body, params, f"{source}:{number}: {header['name']}")
        yield Query(
            name=header["name"],
            params=params,
            why=" ".join(line.removeprefix("--").strip() for line in why),
            sql=f"/* {header['name']} */ {_without_why(block[1:])}",
        )


def collect(found: Iterable[Query]) -> Mapping[str, Query]:
    """Index by name; raises ValueError for a name given twice."""
    queries: dict[str, Query] = {}
    for query in found:
        if query.name in queries:
            raise ValueError(f"the statement {query.name} is there twice")
        queries[query.name] = query
    return MappingProxyType(queries)


def load() -> Mapping[str, Query]:
    """Read every file of the package's `sql` folder, in the order of their names."""
    folder = files("scheduler_svc.store") / "sql"
    sources = sorted(
        (source for source in folder.iterdir() if source.name.endswith(".sql")),
        key=lambda source: source.name,
    )
    return collect(
        query for source in sources for query in parse(source.read_text("utf-8"), source.name)
    )


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Cut at headers that follow a blank line; comments before the first are the file's preface."""
    block: list[str] = []
    start = 0
    after_blank = True
    for number, line in enumerate(text.splitlines(), 1):
        if after_blank and _HEADER.match(line):
            if block:
                yield start, block
            block, start = [line], number
        elif block:
            block.append(line)
        elif line.strip() and not line.startswith("--"):
            block, start = [line], number  # code without a header: the caller refuses it
        after_blank = not line.strip()
    if block:
        yield start, block


def _check_placeholders(body: str, params: tuple[str, ...], where: str) -> None:
    used = {int(number) for number in _PLACEHOLDER.findall(_NOT_CODE.sub(" ", body))}
    if used != set(range(1, len(params) + 1)):
        raise ValueError(f"{where}: {len(params)} parameters, but the text uses {sorted(used)}")


def _without_why(lines: list[str]) -> str:
    """Drop the opening comment; comments inside the statement stay, they explain its parts."""
    rest = list(lines)
    while rest and (rest[0].startswith("--") or not rest[0].strip()):
        rest.pop(0)
    return "\n".join(rest).strip().removesuffix(";")


QUERIES = load()


def statement(name: str) -> str:
    """Give the text to send; raises KeyError at the first call with a name that is not there."""
    return QUERIES[name].sql
