"""Lists, page by page, no further than was asked for."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from typing import Any

from scheduler_svc.cli.remote.connection import Remote

PAGE, PAGE_MAX = 50, 500


def add_limit(parser: ArgumentParser) -> None:
    """Add the switches that say how much of a list is wanted."""
    much = parser.add_mutually_exclusive_group()
    much.add_argument("--limit", type=_count, default=PAGE, help="so many at most (%(default)s)")
    much.add_argument("--all", action="store_true", help="all of them")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def everything(remote: Remote, path: str, **query: object) -> Iterator[Any]:
    """Yield all that is listed."""
    return items(remote, path, Namespace(all=True), **query)


def items(remote: Remote, path: str, given: Namespace, **query: object) -> Iterator[Any]:
    """Yield what is listed, over as many pages as it takes."""
    left: int | None = None if given.all else given.limit
    cursor: str | None = None
    while left is None or left > 0:
        size = PAGE_MAX if left is None else min(left, PAGE_MAX)
        page = remote.get(path, limit=size, cursor=cursor, **query)
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        left = None if left is None else left - len(page["items"])
