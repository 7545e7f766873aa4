"""The lines of a crontab: settings, and entries with their fields, user, command and input.

Promises what Debian's and cronie's crontab(5) say of `%`, quotes and settings. Reads no schedule.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_SETTING: Final = re.compile(
    r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=\s*(.*?)\s*"""
)
_FIELDS: Final = 5
_BLANKS: Final = re.compile(r"[ \t]+")


class Entry(NamedTuple):
    """One entry: `rest` is None where the line has too few words."""

    line: int
    schedule: str
    user: str | None
    command: str | None
    input: str | None
    settings: dict[str, str]
    """Those that stand above it."""


def entries(text: str, *, system: bool) -> Iterator[Entry]:
    """Yield the entries of a table; `system` ones have a user before the command."""
    settings: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip(" \t\r")
        if not line or line.startswith("#"):
            continue
        setting = _SETTING.fullmatch(line)
        if setting and not line[0].isdigit() and not line.startswith(("*", "@")):
            name = setting[1] or setting[2] or setting[3] or ""
            settings = {**settings, name: _unquoted(setting[4])}
            continue
        yield _entry(number, line, settings, system=system)


def _entry(number: int, line: str, settings: dict[str, str], *, system: bool) -> Entry:
    count = 1 if line.startswith("@") else _FIELDS
    words = line.split(None, count)
    schedule, rest = " ".join(words[:count]), words[count] if len(words) > count else ""
    user = None
    if system:
        user, rest = (*_BLANKS.split(rest, maxsplit=1), "")[:2]
    command, given = _percent(rest)
    return Entry(number, schedule, user or None, command or None, given, settings)


def _percent(text: str) -> tuple[str, str | None]:
    r"""Part a command from its input: the first `%` ends it, further ones are new lines.

    `\%` is a plain one.
    """
    parts = re.split(r"(?<!\\)%", text)
    plain = [part.replace("\\%", "%") for part in parts]
    return plain[0].strip(), "\n".join(plain[1:]) + "\n" if plain[1:] else None


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value
