"""What a file of the schema's changes would do to those who use the database, said before it does.

Read from the text alone, so that planning takes no lock itself. Promises a line for every statement
that touches a table which is there already; a statement that it does not know is said to be taken
for the worst.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scheduler_svc.store.migration_files import Migration
from scheduler_svc.store.migration_steps import partitioned_index

ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
MEANING = {
    ACCESS_EXCLUSIVE: "nobody reads or writes it until the commit",
    "SHARE ROW EXCLUSIVE": "nobody writes it until the commit",
    "SHARE": "nobody writes it while the index is built",
    "SHARE UPDATE EXCLUSIVE": "concurrent: all read and write it",
    "ROW EXCLUSIVE": "all read and write it, but for the rows that change",
}
SHOWN = 72
HARMLESS = ("CREATE ", "SELECT ", "SET ", "COMMENT ")
_RIGHTS = re.compile(
    r"(?:GRANT|REVOKE)\s[^;]*?\sON\s+(?:ALL\s+FUNCTIONS\s+IN\s+SCHEMA|SCHEMA|FUNCTION)\s",
    re.IGNORECASE | re.DOTALL,
)
"""Of schemas and functions: no table is locked."""
_TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|;|[^-/'$;]+|.", re.DOTALL
)
_NAME = r"(?:ONLY\s+)?(?P<name>[a-z0-9_.]+)"
_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), lock)
    for pattern, lock in (
        (
            r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s.*?\sON\s+" + _NAME,
            "SHARE UPDATE EXCLUSIVE",
        ),
        (r"CREATE\s+(?:UNIQUE\s+)?INDEX\s.*?\bON\s+" + _NAME, "SHARE"),
        (
            r"(?:DROP\s+INDEX|REINDEX\s+\w+)\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?" + _NAME,
            "SHARE UPDATE EXCLUSIVE",
        ),
        (r"CREATE\s+(?:UNLOGGED\s+)?TABLE\s.*?\sPARTITION\s+OF\s+" + _NAME, ACCESS_EXCLUSIVE),
        (
            r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?"
            + _NAME
            + r"\s+(?:VALIDATE\s|ATTACH\s|SET\s*\(|ALTER\s+\w+\s+SET\s+STATISTICS)",
            "SHARE UPDATE EXCLUSIVE",
        ),
        (
            r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?"
            + _NAME
            + r"\s+ADD\s+(?:CONSTRAINT\s+\w+\s+)?FOREIGN\s+KEY",
            "SHARE ROW EXCLUSIVE",
        ),
        (r"(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+" + _NAME, "ROW EXCLUSIVE"),
        (r"WITH\s.*?(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+" + _NAME, "ROW EXCLUSIVE"),
        (
            r"(?:ALTER|DROP|TRUNCATE|LOCK)\s+(?:TABLE\s+|INDEX\s+)?(?:IF\s+EXISTS\s+)?" + _NAME,
            ACCESS_EXCLUSIVE,
        ),
    )
)
_CREATES = re.compile(
    r"CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[a-z0-9_.]+)",
    re.IGNORECASE,
)
_NAMES = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[a-z0-9_]+)",
    re.IGNORECASE,
)
_REFERENCES = re.compile(r"\sREFERENCES\s+(?P<name>[a-z0-9_.]+)", re.IGNORECASE)


class Lock(NamedTuple):
    """One lock, on a table or index that is there already, and the statement that takes it."""

    mode: str
    name: str
    statement: str

    @property
    def is_concurrent(self) -> bool:
        return self.mode in {"SHARE UPDATE EXCLUSIVE", "ROW EXCLUSIVE"}


class Step(NamedTuple):
    """One file as it would be applied."""

    migration: Migration
    locks: Sequence[Lock]

    def lines(self) -> Iterator[str]:
        """Say it for people to read."""
        one = self.migration
        beside = (
            "it does not say which builds can go on beside it"
            if one.compatible_from is None
            else f"builds that know {one.compatible_from} migrations or more go on beside it"
        )
        how = "in one transaction" if one.mode == "transaction" else one.mode
        yield f"{one.name}  {how}; {beside}"
        for lock in self.locks:
            yield f"    {lock.mode} on {lock.name}: {MEANING[lock.mode]}"
            yield f"        {lock.statement}"
        if not self.locks:
            yield "    no lock on anything that is there already"


def plan(missing: Sequence[Migration]) -> list[Step]:
    """Say of each file, in order, which locks it would take; what one makes is new to the next."""
    new: set[str] = set()
    return [Step(one, tuple(_locks(one, new))) for one in missing]


def statements(sql: str) -> Iterator[str]:
    """Cut a file into statements, without comments and on one line each."""
    text = ""
    for token in _TOKEN.finditer(f"{sql};"):
        part = token[0]
        if part == ";":
            if text.strip():
                yield " ".join(text.split())
            text = ""
        elif not part.startswith(("--", "/*")):
            text += part


def _locks(one: Migration, new: set[str]) -> Iterator[Lock]:
    if one.mode == "by partition":
        index = partitioned_index(one)
        if index.table in new:
            return
        text = _short(next(statements(one.sql)))
        yield Lock("SHARE", f"{index.table} alone, for a moment", text)
        yield Lock("SHARE UPDATE EXCLUSIVE", f"each partition of {index.table}", text)
        return
    for text in statements(one.sql):
        new |= {found["name"] for found in (_CREATES.match(text), _NAMES.match(text)) if found}
        for lock, name in _taken(text):
            if name not in new:
                yield Lock(lock, name, _short(text))


def _taken(text: str) -> Iterator[tuple[str, str]]:
    for name in {found["name"] for found in _REFERENCES.finditer(text)}:
        yield "SHARE ROW EXCLUSIVE", name
    for pattern, lock in _RULES:
        if found := pattern.match(text):
            yield lock, found["name"]
            return
    if not text.upper().startswith(HARMLESS) and not _RIGHTS.match(text):
        yield ACCESS_EXCLUSIVE, "what it touches"


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
