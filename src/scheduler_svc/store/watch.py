"""How long each statement took, told to one who listens.

Promises names from the closed set of our statements, so that they may be labels: a transaction's
own words are `transaction`, what has no name is `other`. Keeps neither text nor values.
"""

from collections.abc import Awaitable
from functools import lru_cache
from time import monotonic
from typing import Any, Protocol

import asyncpg

TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class OnStatement(Protocol):
    """Takes one statement; must be quick and must not raise."""

    def __call__(self, name: str, seconds: float, /, *, failed: bool) -> None: ...


def watched(on_statement: OnStatement) -> "type[asyncpg.Connection[Any]]":
    """Return what a pool makes its connections of, so that their statements are told.

    The driver's own way, a listener, makes a record and a callback of the loop for each statement.
    """

    async def told(query: str, answer: Awaitable[Any]) -> Any:
        begun, failed = monotonic(), True
        try:
            result = await answer
            failed = False
        finally:
            on_statement(name_of(query), monotonic() - begun, failed=failed)
        return result

    class Watched(asyncpg.Connection):
        """A connection that tells of each statement."""

        async def execute(self, query: str, *args: Any, **how: Any) -> Any:
            return await told(query, super().execute(query, *args, **how))

        async def fetch(self, query: str, *args: Any, **how: Any) -> Any:
            return await told(query, super().fetch(query, *args, **how))

        async def fetchrow(self, query: str, *args: Any, **how: Any) -> Any:
            return await told(query, super().fetchrow(query, *args, **how))

        async def fetchval(self, query: str, *args: Any, **how: Any) -> Any:
            return await told(query, super().fetchval(query, *args, **how))

    return Watched


def name_of(query: str) -> str:
    """Return the name that a statement opens with."""
    if query.startswith("/* "):
        return _named(query)
    return "transaction" if query.startswith(TRANSACTION) else "other"


@lru_cache(maxsize=1024)
def _named(query: str) -> str:
    return query[3 : query.index(" */")]
