"""Which timeline of the server this process has seen: none of an older one is used any more.

Promises that once a connection was had to a promoted standby, the primary before it is not believed
when it comes back, whatever it says of itself. Will not know of a promotion that no connection of
this process saw, and judges nothing where the server does not say what it is.
"""

import asyncpg
from asyncpg import Record

from scheduler_svc.store.queries import statement

_UNTOLD = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.UndefinedFunctionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)
"""Some hosts do not let us ask, or have no such thing as a timeline."""


class FormerPrimary(ConnectionError):
    """A server that others have taken the place of; the text says by how much."""


class Lineage:
    """The newest timeline that was seen of each server, by its system identifier."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    async def judge(self, conn: "asyncpg.Connection[Record]") -> None:
        """Refuse a new connection to a server of an older timeline, else remember its own."""
        try:
            row = await conn.fetchrow(statement("read_lineage"))
        except _UNTOLD:
            return
        if row is None or row["line"] is None:
            return
        newest = self._newest.get(row["system"], 0)
        if row["line"] < newest:
            raise FormerPrimary(
                f"a former primary: it is on timeline {row['line']}, and {newest} was seen;"
                " end it, or make it a standby of its successor"
            )
        self._newest[row["system"]] = row["line"]
