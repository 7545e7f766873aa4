"""A standby that is read in place of the primary, once it shows all that was written before.

Promises that whoever reads sees what was committed before the question came, whoever wrote it at
whichever replica: the primary is asked how far it has written, and the standby is read when it has
come so far. Where it does not in time, is away, or is no standby of this primary, it is not read.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import asyncpg

from scheduler_svc.store.away import is_database_away, is_worth_one_more
from scheduler_svc.store.pool import Pool, close_pool, connection
from scheduler_svc.store.queries import statement

AGAIN_SECONDS = 5.0
"""How long a standby that failed is left alone."""
STEP_SECONDS = 0.005
ASK_SECONDS = 2.0


class NoStandby(Exception):
    """What answers is no standby of this primary."""


OnChange = Callable[[BaseException | None], None]


class Standby:
    """One standby, opened when it is first read; `on_change` hears of its loss and its return."""

    def __init__(
        self,
        primary: Pool,
        opened: Callable[[], Awaitable[Pool]],
        *,
        wait_seconds: float,
        on_change: OnChange,
    ) -> None:
        self._primary = primary
        self._opened = opened
        self._wait_seconds = wait_seconds
        self._on_change = on_change
        self._pool: Pool | None = None
        self._turn = asyncio.Lock()
        self._away_until = 0.0
        self._away = False

    async def caught_up(self) -> "Pool | None":
        """Return a pool that shows all that was committed before now; None: read the primary.

        Raises what `is_database_away` knows when the primary does not answer.
        """
        now = asyncio.get_running_loop().time
        if now() < self._away_until:
            return None
        async with connection(self._primary) as conn:
            written = await conn.fetchval(statement("written_up_to"))
        deadline = now() + self._wait_seconds
        try:
            pool = self._pool or await self._open()
            while not await _shows(pool, written):
                if now() > deadline:
                    return None
                await asyncio.sleep(STEP_SECONDS)
        except Exception as error:
            if not self.failed(error):
                raise
            return None
        self._tell(None)
        return pool

    def failed(self, error: Exception) -> bool:
        """Leave the standby alone for a while, where it is to blame; False: the error is a bug."""
        known = isinstance(error, NoStandby) or is_database_away(error) or is_worth_one_more(error)
        if known and not is_worth_one_more(error):  # a conflict with what it replays is no absence
            self._away_until = asyncio.get_running_loop().time() + AGAIN_SECONDS
            self._tell(error)
        return known

    async def close(self) -> None:
        """Close what was opened."""
        if self._pool is not None:
            await close_pool(self._pool)

    async def _open(self) -> Pool:
        async with self._turn:
            if self._pool is None:
                try:
                    pool = await self._opened()
                except asyncpg.PostgresError as error:  # a wrong name or password, say
                    raise NoStandby(f"it does not let us in: {error}") from error
                if await _cluster_of(pool) != await _cluster_of(self._primary):
                    await close_pool(pool)
                    raise NoStandby("it is of another cluster than the primary")
                self._pool = pool
            return self._pool

    def _tell(self, error: Exception | None) -> None:
        if self._away != (error is not None):
            self._away = error is not None
            self._on_change(error)


async def _shows(pool: Pool, written: int) -> bool:
    async with connection(pool, seconds=ASK_SECONDS) as conn:
        replayed: int | None = await conn.fetchval(statement("replayed_up_to"))
    if replayed is None:
        raise NoStandby("it is no standby; it may have been promoted")
    return replayed >= written


async def _cluster_of(pool: Pool) -> int | None:
    """Return which cluster this is; None, on both sides, where we may not ask."""
    async with connection(pool, seconds=ASK_SECONDS) as conn:
        with suppress(asyncpg.InsufficientPrivilegeError):
            return cast("int", await conn.fetchval(statement("cluster_of")))
    return None
