"""Live and ready: is the process there, and should it be sent requests.

`/healthz` asks nobody. `/readyz` asks the database, within a second, and how old the last tick is.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from scheduler_svc.api.context import Call, Check, Checks, EngineCheck, Readiness, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.store import migrate
from scheduler_svc.store.pool import Pool, connection, is_database_away

LOOK_SECONDS = 1.0
TICK_AGE_MAX_MS = 15_000


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str


async def look(
    pool: Pool,
    *,
    tick_age_ms: Callable[[], int | None] | None,
    versions: Mapping[str, str],
    tick_age_max_ms: int = TICK_AGE_MAX_MS,
) -> Readiness:
    """Find out whether this replica may be sent requests; `tick_age_ms` None has no engine."""
    database, schema = await _look_at_database(pool)
    engine = _look_at_engine(tick_age_ms, tick_age_max_ms)
    ok = all(status == "ok" for status in (database.status, schema.status, engine.status))
    return Readiness(
        status="ok" if ok else "failed",
        checks=Checks(database=database, schema=schema, engine=engine),
        versions=dict(versions),
    )


async def _look_at_database(pool: Pool) -> tuple[Check, Check]:
    try:
        async with connection(pool, seconds=LOOK_SECONDS) as lent:
            standing = await migrate.standing(lent)
    except Exception as error:
        if not is_database_away(error):
            raise
        detail = "the database does not answer"
        return Check(status="failed", detail=detail), Check(status="failed", detail="not known")
    if standing.fault is not None:
        return Check(status="ok"), Check(status="failed", detail=standing.fault)
    return Check(status="ok"), Check(status="ok", detail=f"version {standing.database}")


def _look_at_engine(tick_age_ms: Callable[[], int | None] | None, age_max_ms: int) -> EngineCheck:
    if tick_age_ms is None:
        return EngineCheck(status="ok")
    age = tick_age_ms()
    late = age is None or age > age_max_ms
    return EngineCheck(status="failed" if late else "ok", last_tick_age_ms=age)


async def healthz(_call: Call) -> Reply:
    return Reply(body=Health(status="ok"))


async def readyz(call: Call) -> Reply:
    readiness = await call.deps.ready()
    return Reply(status=200 if readiness.status == "ok" else 503, body=readiness)


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=healthz,
        operation_id="get_health",
        summary="Is the process there? Asks no database.",
        tag="service",
        answers={200: Answer(description="It is.", type=Health, example={"status": "ok"})},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=readyz,
        operation_id="get_readiness",
        summary="May this replica be sent requests?",
        description="Looks at the database, its schema, and the age of the engine's last tick.",
        tag="service",
        answers={
            200: Answer(description="It may.", type=Readiness),
            503: Answer(description="It may not, and why.", type=Readiness),
        },
    ),
)
