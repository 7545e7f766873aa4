"""What the forecast and the herd hint read: jobs in pages by key, and a bounded look at timers."""

from functools import lru_cache
from urllib.parse import urlsplit
from uuid import UUID

from asyncpg import Record

from scheduler_svc.domain.forecast import ForecastJob
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

LOOKED_AT_EACH, LOOKED_AT_MAX = 20, 10_000
"""Timers that are looked at for one that is counted, and at most: a herd behind so many of other
namespaces is not seen, and does not make every create slow."""


async def page(
    conn: Connection, namespace: str, after: UUID, *, at_most: int
) -> tuple[list[ForecastJob], UUID | None]:
    """Return the jobs of a page that will fire, and where the next page begins; None at the end."""
    rows = await conn.fetch(statement("forecast_page"), namespace, after, at_most)
    jobs = [_job(row) for row in rows if row["from_at"] is not None]
    return jobs, rows[-1]["id"] if len(rows) == at_most else None


async def timers_between(
    conn: Connection, low_ms: int, high_ms: int, *, namespace: str, at_most: int, but_not: UUID
) -> int:
    """Count the other jobs of a namespace that are next due in [low, high), at most so many."""
    count: int = await conn.fetchval(
        statement("count_timers_between"),
        instant_at(low_ms),
        instant_at(high_ms),
        at_most,
        but_not,
        namespace,
        min(LOOKED_AT_EACH * at_most, LOOKED_AT_MAX),
    )
    return count


def _job(row: Record) -> ForecastJob:
    return ForecastJob(
        id=row["id"],
        created_at=row["created_at"],
        schedule=row["schedule"],
        host=_host(row["url"]),
        from_ms=epoch_ms(row["from_at"]),
        runs_made=row["runs_made"],
        paused=row["paused"],
    )


@lru_cache(maxsize=16_384)
def _host(url: str) -> str:
    return urlsplit(url).hostname or url
