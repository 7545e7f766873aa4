"""Columns of a batch as text, which `string_to_array` of the server takes apart.

The driver asks each element of an array whether it is an array itself, and turns instants into
numbers one by one: half of what a batch costs this process. Joining texts is ten times as fast,
and parsing them costs the server a tenth of that.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

SEPARATOR: Final = "\x1e"
"""Between texts: no name, code or JSON text holds it. Between numbers stands a comma."""


def numbers(values: Iterable[int | None]) -> str:
    """Write numbers; `string_to_array(text, ',', '')` makes null again of what is missing."""
    listed = values if isinstance(values, list) else list(values)
    if listed and listed.count(listed[0]) == len(listed):  # as many a column is
        return ",".join(["" if listed[0] is None else str(listed[0])] * len(listed))
    return ",".join(["" if value is None else str(value) for value in listed])


def ids(values: Iterable[UUID]) -> str:
    """Write ids."""
    return ",".join([str(value) for value in values])


def words(values: Iterable[str | None]) -> str:
    """Write texts that are not empty; what is missing is null again."""
    return SEPARATOR.join([value or "" for value in values])
