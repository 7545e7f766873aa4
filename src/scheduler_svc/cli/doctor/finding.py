"""What a check says, and what it may look at."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, NamedTuple

from msgspec import Struct

from scheduler_svc.settings import Settings
from scheduler_svc.store.pool import Connection

Level = Literal["warning", "fault"]


class Finding(Struct, frozen=True):
    """One thing that is wrong: `fix` is what to type or to change, as exactly as can be said."""

    check: str
    level: Level
    found: str
    why: str
    fix: str


class Surroundings(Struct, frozen=True):
    """What there is to look at besides the database; `targets` are addresses to try."""

    settings: Settings
    environ: Mapping[str, str]
    dsn: str | None
    targets: tuple[str, ...] = ()
    patience: float = 300.0
    """For how many seconds a transaction may be open before it is told of."""


class Check(NamedTuple):
    """A family of checks; `look` gets a connection in a read-only transaction where it asks."""

    name: str
    look: Callable[[Surroundings], Awaitable[list[Finding]]]


class DatabaseCheck(NamedTuple):
    """One that needs the database."""

    name: str
    look: Callable[[Surroundings, Connection], Awaitable[list[Finding]]]


def fault(check: str, found: str, why: str, fix: str) -> Finding:
    """Say that something breaks a promise, or soon will."""
    return Finding(check, "fault", found, why, fix)


def warning(check: str, found: str, why: str, fix: str) -> Finding:
    """Say that something costs, or may go wrong."""
    return Finding(check, "warning", found, why, fix)


def lasted(seconds: float) -> str:
    """Write a while for people."""
    for size, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
