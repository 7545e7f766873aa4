"""One use of a pooled connection, from taking it to giving it back, that ends when it must.

Promises that neither the use nor the giving back waits for the server beyond its time: the
connection is cut instead, without a word to the server, for asyncpg's own cancelling asks it.
"""

import asyncio
from contextlib import suppress
from typing import Any, TypeAlias

import asyncpg
import asyncpg.pool

from scheduler_svc.store.away import is_broken, is_database_away

GIVE_BACK_SECONDS = 1.0

# Strings, for these classes are generic to the type checker only.
Lent: TypeAlias = "asyncpg.pool.PoolConnectionProxy[Any]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Loan:
    """A lent connection with the timer that cuts it."""

    def __init__(self, pool: Pool, lent: Lent, deadline: float) -> None:
        self.lent = lent
        self.deadline = deadline
        self._pool = pool
        self._cut_at_deadline = False
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def is_gone(self) -> bool:
        """True when the connection broke; the pool has taken it back then, and any call raises."""
        try:
            return self.lent.is_closed()
        except asyncpg.InterfaceError:
            return True

    def cut(self) -> None:
        """End the connection at once."""
        with suppress(asyncpg.InterfaceError):  # it broke by itself a moment before
            self.lent.terminate()

    def judge(self, error: BaseException) -> Exception | None:
        """Cut after what leaves the connection unsure; give the error that says what happened.

        None means that the error itself says it best.
        """
        # A cancelled or timed-out query leaves a cancel request that giving back would wait for;
        # after an internal error nobody knows what the connection is in the middle of.
        unsure = (TimeoutError, asyncpg.InternalClientError)
        if isinstance(error, unsure) or not isinstance(error, Exception):
            self.cut()
        wrong_call = isinstance(error, asyncpg.InterfaceError)
        if self._cut_at_deadline and (wrong_call or is_database_away(error)):
            return TimeoutError("the database did not answer in time")
        if wrong_call and not is_broken(error) and self.is_gone():
            return ConnectionResetError("the connection to the database broke")
        return None

    async def give_back(self, *, sure: bool = False) -> None:
        """Return the connection; one in trouble is cut after a short while, not waited for.

        `sure` says that nothing went wrong on it.
        """
        self._timer.cancel()
        if sure and await _put_back(self.lent):
            return
        timer = asyncio.get_running_loop().call_later(GIVE_BACK_SECONDS, self.cut)
        try:
            await self._pool.release(self.lent)
        except (
            OSError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ):
            # Cut while giving back: the pool has dropped it, and the user's own error matters more.
            self.cut()
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._cut_at_deadline = True
        self.cut()


async def take(pool: Pool, deadline: float) -> Loan:
    """Wait for a connection until the deadline, on the loop's clock; raises TimeoutError then."""
    if _at_hand(pool):
        return Loan(pool, await pool.acquire(), deadline)
    async with asyncio.timeout_at(deadline):
        lent = await pool.acquire()
    return Loan(pool, lent, deadline)


def _at_hand(pool: Pool) -> bool:
    """Tell whether a connection lies there, so that taking it waits for nothing."""
    resting: Any = pool._queue._queue  # type: ignore[attr-defined]  # noqa: SLF001
    return bool(resting) and resting[-1].is_connected()


async def _put_back(lent: Lent) -> bool:
    """Give back a connection at rest, for which the pool's own way would begin a task.

    That task is there for what must be waited for, and a connection at rest needs nothing. False
    where it is not at rest, or is to be closed now: the server is asked for that.
    """
    used: Any = lent._con  # type: ignore[attr-defined]  # noqa: SLF001
    if used is None or used.is_closed() or used.is_in_transaction():
        return False
    if used._protocol._is_cancelling():  # noqa: SLF001 - a time-out that the user kept to himself
        return False
    holder: Any = lent._holder  # noqa: SLF001
    if used._protocol.queries_count >= holder._max_queries:  # noqa: SLF001
        return False
    is_waited_for = bool(holder._pool._queue._getters)  # noqa: SLF001
    used._on_release()  # noqa: SLF001
    await holder.release(None)
    if is_waited_for:
        # Who was woken has his turn now: a loop that takes the next one at once would keep it.
        await asyncio.sleep(0)
    return True
