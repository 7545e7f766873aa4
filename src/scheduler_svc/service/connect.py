"""The way to the database: waited for at start, its schema judged, its clock read.

What waiting can not mend is refused with the reason; everything else is waited for.
"""

import asyncio

from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.settings import Settings
from scheduler_svc.store import migrate
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.pool import (
    BY_KEY,
    Pool,
    close_pool,
    connection,
    is_database_away,
    open_pool,
)
from scheduler_svc.store.replicas import database_now
from scheduler_svc.store.watch import OnStatement
from scheduler_svc.telemetry.tally import Tally

NAME = "scheduler-svc"
ENGINE_POOL = 6
READINGS = 5
WAIT_SECONDS_MAX = 5.0


class CanNotStart(Exception):
    """The service can not start with what it was given; the text says why."""


async def await_database(
    settings: Settings,
    dsn: str,
    on_event: OnEvent,
    stop: asyncio.Event,
    tally: Tally,
    *,
    lineage: Lineage,
) -> tuple[Pool, Pool] | None:
    """Wait until the database answers and has our schema; refuse what waiting can not mend."""
    failures = 0
    while not stop.is_set():
        try:
            if settings.migrate_on_start:
                await migrate.migrate(dsn)
            return await _open(settings, dsn, tally.statement, lineage)
        except migrate.MigrationRefused as refused:
            raise CanNotStart(str(refused)) from refused
        except Exception as error:
            if not is_database_away(error):
                raise CanNotStart(f"the database refuses us: {error}") from error
            if not failures:
                on_event(EventName.DATABASE_AWAY, error=repr(error))
            failures += 1
            await Alarm().wait(min(WAIT_SECONDS_MAX, 0.1 * 2 ** min(failures, 10)))
    return None


async def _open(
    settings: Settings, dsn: str, told: OnStatement, lineage: Lineage
) -> tuple[Pool, Pool]:
    api_pool = await open_pool(
        dsn,
        application_name=f"{NAME} api",
        size_max=settings.pool_size,
        statement_cache_size=settings.statement_cache,
        on_statement=told,
        lineage=lineage,
    )
    engine_pool = await open_pool(
        dsn,
        application_name=f"{NAME} engine",
        size_max=ENGINE_POOL,
        statement_cache_size=settings.statement_cache,
        planner=BY_KEY,
        on_statement=told,
        lineage=lineage,
    )
    async with connection(engine_pool) as conn:
        fault = (await migrate.standing(conn)).fault
    if fault is not None:
        await close_pool(api_pool)
        await close_pool(engine_pool)
        raise CanNotStart(f"the database is {fault}")
    return api_pool, engine_pool


async def read_clock(pool: Pool, clock: DatabaseClock) -> None:
    """Read the database's clock some times: the quickest answer gives the closest bound."""
    async with connection(pool) as conn:
        for _ in range(READINGS):
            sent = clock.monotonic()
            now = await database_now(conn)
            clock.observe(sent=sent, received=clock.monotonic(), now=now)
