"""Single jobs that several callers ask for at once, read by one statement.

Promises each caller what the database held after he had asked, within the time that a use of a
connection has: who comes while a statement is under way is read by the next one. What fails for one
caller's time being over fails for him alone, and a connection that broke is tried once more.
"""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.jobs import Job
from scheduler_svc.store.away import is_worth_one_more
from scheduler_svc.store.jobs import with_last_run
from scheduler_svc.store.pool import CALL_SECONDS, Pool, connection
from scheduler_svc.store.queries import statement

LANES = 2
"""Statements under way at once: one is written and answered while the other gathers."""
BATCH_MAX = 64


class _Asked(msgspec.Struct):
    """One caller's job, and until when he waits, on the loop's clock."""

    namespace: str
    job_id: UUID
    deadline: float
    found: Any  # a future of a row; what it holds is for callers to know
    tried: bool = False


class JobReads:
    """Gathers what is asked for in one turn of the loop, and while statements are under way."""

    def __init__(self, pool: Pool, *, seconds: float = CALL_SECONDS) -> None:
        self._pool, self._seconds = pool, seconds
        self._waiting: list[_Asked] = []
        self._lanes: set[asyncio.Task[None]] = set()

    async def get_job(self, namespace: str, job_id: UUID) -> Job | None:
        """Read one job, its last run included; raise what `is_database_away` knows."""
        loop = asyncio.get_running_loop()
        asked = _Asked(namespace, job_id, loop.time() + self._seconds, loop.create_future())
        self._waiting.append(asked)
        if len(self._lanes) < LANES:
            # Of no request: what is logged there would else bear the ids of the first.
            lane = loop.create_task(self._lane(), name="job reads", context=Context())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)
        row: Record | None = await asked.found
        return None if row is None else with_last_run(row)

    async def _lane(self) -> None:
        """Read until nobody waits."""
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            try:
                await _answer(self._pool, batch)
            except BaseException as error:
                self._waiting[:0] = _failed(batch, error)
                if not isinstance(error, Exception):
                    raise


async def _answer(pool: Pool, batch: Sequence[_Asked]) -> None:
    """Read a batch, as long as the first of it still has, and tell each of his own."""
    left = min(asked.deadline for asked in batch) - asyncio.get_running_loop().time()
    async with connection(pool, seconds=left) as conn:
        rows = await conn.fetch(
            statement("get_jobs_asked"),
            [asked.namespace for asked in batch],
            [asked.job_id for asked in batch],
        )
    by_place = {row["place"]: row for row in rows}
    for place, asked in enumerate(batch, 1):
        if not asked.found.done():  # else he has gone
            asked.found.set_result(by_place.get(place))


def _failed(batch: Sequence[_Asked], error: BaseException) -> list[_Asked]:
    """Tell those for whom it ends by this; return those who are read again."""
    now, again = asyncio.get_running_loop().time(), []
    for asked in batch:
        if asked.found.done():
            continue
        in_time = asked.deadline > now
        if in_time and isinstance(error, TimeoutError):
            again.append(asked)  # it was the time of another
        elif in_time and not asked.tried and is_worth_one_more(error):
            asked.tried = True
            again.append(asked)
        elif isinstance(error, Exception):
            asked.found.set_exception(error)
        else:
            asked.found.cancel()
    return again
