"""How long each statement took, told to one who listens.

Promises names from the closed set of our statements, so that they may be labels: a transaction's
own words are `transaction`, what has no name is `other`. Keeps neither text nor values.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class OnStatement(Protocol):
    """Takes one statement; must be quick and must not raise."""

    def __call__(self, name: str, seconds: float, /, *, failed: bool) -> None: ...


def watching(on_statement: OnStatement) -> Callable[[Any], Coroutine[Any, Any, None]]:
    """Return what a pool does to each new connection so that its statements are told."""

    def tell(record: Any) -> None:
        failed = record.exception is not None
        on_statement(name_of(record.query), record.elapsed, failed=failed)

    async def watch(connection: Any) -> None:
        connection.add_query_logger(tell)

    return watch


def name_of(query: str) -> str:
    """Return the name that a statement opens with."""
    if query.startswith("/* "):
        return query[3 : query.index(" */")]
    return "transaction" if query.startswith(TRANSACTION) else "other"
