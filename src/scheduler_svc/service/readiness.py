"""Whether this replica may be sent requests: database, schema, and the age of the last pass.

A stuck loop is visible here, though the server answers.
"""

from collections.abc import Awaitable, Callable

from scheduler_svc.api.context import Check, Checks, EngineCheck, Readiness
from scheduler_svc.domain.zones import tzdata_version
from scheduler_svc.engine.run import Engine
from scheduler_svc.store import migrate
from scheduler_svc.store.pool import Pool, connection, is_database_away

CHECK_SECONDS = 2.0
POLLS_MAX = 3
"""A pass may take its poll, and as long again where the database is slow; then it is stuck."""


def readiness(pool: Pool, engine: Engine, *, version: str) -> Callable[[], Awaitable[Readiness]]:
    """Return the check, bound to what it looks at."""

    async def ready() -> Readiness:
        database, schema, server = await _database(pool)
        working = engine_check(engine)
        good = all(check.status == "ok" for check in (database, schema, working))
        return Readiness(
            status="ok" if good else "failed",
            checks=Checks(database=database, schema=schema, engine=working),
            versions={
                "scheduler-svc": version,
                "schema": server,
                "tzdata": tzdata_version(),
            },
        )

    return ready


async def _database(pool: Pool) -> tuple[Check, Check, str]:
    """Check the database and its schema; the last is the schema's number."""
    try:
        async with connection(pool, seconds=CHECK_SECONDS) as conn:
            standing = await migrate.standing(conn)
    except Exception as error:
        if not is_database_away(error):
            raise
        away = Check(status="failed", detail="the database does not answer")
        return away, Check(status="failed", detail="not known"), "unknown"
    schema = Check(status="ok" if standing.fault is None else "failed", detail=standing.fault)
    return Check(status="ok"), schema, str(standing.database)


def engine_check(engine: Engine) -> EngineCheck:
    """Judge the age of the last pass."""
    if engine.pace.stopped:  # told to stop: a load balancer is to look elsewhere
        return EngineCheck(status="failed")
    held = engine.parts.holds.undecided
    if not engine.claims:
        return EngineCheck(status="ok", namespaces_held=held)
    limits = engine.parts.limits
    age_ms = (engine.parts.clock.monotonic() - engine.pace.last_tick) * 1000
    if age_ms == float("inf"):
        return EngineCheck(status="failed")
    stale = age_ms > POLLS_MAX * limits.poll_ms + limits.database_seconds * 1000
    return EngineCheck(
        status="failed" if stale else "ok", last_tick_age_ms=int(age_ms), namespaces_held=held
    )
