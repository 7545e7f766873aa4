"""The files of the schema's changes: numbered plain SQL, each with a word on how it is applied.

The first lines of a file may say so, one fact a line:

    -- migrate: no transaction      one statement that PostgreSQL refuses inside one
    -- migrate: by partition        one CREATE INDEX of a partitioned table, built day by day
    -- migrate: in batches          one statement that changes a few rows, repeated until none
    -- migrate: compatible from 12  builds that know so many files or more can go on beside it

Promises to read a folder whole or to say what is wrong with it; reads no database.
"""

import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, NamedTuple

Mode = Literal["transaction", "no transaction", "by partition", "in batches"]

MARK = "-- migrate: "
ALONE = f"{MARK}no transaction"
BY_PARTITION = f"{MARK}by partition"
IN_BATCHES = f"{MARK}in batches"
MODES: dict[str, Mode] = {
    ALONE: "no transaction",
    BY_PARTITION: "by partition",
    IN_BATCHES: "in batches",
}
_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")
_COMPATIBLE = re.compile(rf"^{MARK}compatible from (?P<number>\d{{1,4}})$")


class MigrationRefused(Exception):
    """The files and the database do not fit; the text says which and what to do."""


class Migration(NamedTuple):
    """One file; `compatible_from` is None where it does not say who can go on beside it."""

    number: int
    name: str
    sql: str
    sha256: str
    mode: Mode = "transaction"
    compatible_from: int | None = None


def shipped() -> list[Migration]:
    """Read the files of the wheel or, in an editable install, of the checkout."""
    package = files("scheduler_svc")
    inside = package / "migrations"
    return load(inside if inside.is_dir() else Path(str(package)).parents[1] / "migrations")


def load(folder: Traversable) -> list[Migration]:
    """Read a folder in order; raises MigrationRefused for a gap, a double or a stray name."""
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        if (match := _NAME.match(file.name)) is None:
            raise MigrationRefused(f"{file.name} is not named like 0001_what_it_does.sql")
        found.append(_read(int(match["number"]), file.name, file.read_bytes()))
    if [one.number for one in found] != list(range(1, len(found) + 1)):
        raise MigrationRefused(f"numbers must run from 1 without a gap: {[m.name for m in found]}")
    return found


def _read(number: int, name: str, raw: bytes) -> Migration:
    text = raw.decode()
    mode: Mode = "transaction"
    compatible_from = None
    for line in text.splitlines():
        if not line.startswith(MARK):
            break
        if line in MODES:
            mode = MODES[line]
        elif (said := _COMPATIBLE.match(line)) and 0 < int(said["number"]) <= number:
            compatible_from = int(said["number"])
        else:
            raise MigrationRefused(f"{name} says '{line}', which means nothing here")
    return Migration(number, name, text, hashlib.sha256(raw).hexdigest(), mode, compatible_from)
