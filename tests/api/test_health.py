"""Live and ready: `/healthz` asks nobody, `/readyz` says what is missing."""

import httpx2
import msgspec
import pytest

from scheduler_svc.api import health
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps, EngineCheck, Readiness
from scheduler_svc.store.pool import Pool, open_pool

VERSIONS = {"scheduler-svc": "0.1.0", "tzdata": "2026.1"}


async def test_a_live_process_says_so_without_the_database(deps: Deps) -> None:
    away = msgspec.structs.replace(deps, pool=None)
    transport = httpx2.ASGITransport(build_app(away))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_ready_replica_shows_each_check_and_its_versions(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert body["checks"]["database"] == {"status": "ok"}
    assert body["checks"]["schema"]["status"] == "ok"
    assert body["checks"]["engine"] == {"status": "ok", "last_tick_age_ms": 5}
    assert body["versions"] == {"scheduler-svc": "0.1.0"}


@pytest.mark.parametrize("age", [None, 15_001])
async def test_a_replica_whose_engine_stands_still_is_not_ready(
    pool: Pool, age: int | None
) -> None:
    readiness = await health.look(pool, tick_age_ms=lambda: age, versions=VERSIONS)
    assert readiness.status == "failed"
    assert readiness.checks.engine == EngineCheck(status="failed", last_tick_age_ms=age)


async def test_a_replica_of_the_api_alone_needs_no_engine(pool: Pool) -> None:
    readiness = await health.look(pool, tick_age_ms=None, versions=VERSIONS)
    assert readiness.status == "ok"


async def test_a_database_without_the_schema_is_named(empty_database: str) -> None:
    bare = await open_pool(empty_database, application_name="tests", size_max=1)
    try:
        readiness = await health.look(bare, tick_age_ms=None, versions=VERSIONS)
    finally:
        bare.terminate()
    assert readiness.checks.database.status == "ok"
    assert readiness.checks.schema.status == "failed"
    assert "not migrated" in (readiness.checks.schema.detail or "")


async def test_a_replica_without_its_database_is_not_ready(dsn: str, deps: Deps) -> None:
    gone = await open_pool(dsn, application_name="tests", size_max=1)
    gone.terminate()

    async def ready() -> Readiness:
        return await health.look(gone, tick_age_ms=lambda: 1, versions=VERSIONS)

    transport = httpx2.ASGITransport(build_app(msgspec.structs.replace(deps, ready=ready)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"]["status"] == "failed"
