"""Live and ready: `/healthz` asks nobody, `/readyz` says what is missing."""

import httpx2
import msgspec

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Check, Deps, EngineCheck, Readiness
from serving import READY


async def get(deps: Deps, path: str) -> httpx2.Response:
    transport = httpx2.ASGITransport(build_app(deps))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


async def test_a_live_process_says_so_with_the_database_gone(deps: Deps) -> None:
    gone = msgspec.structs.replace(deps, pool=None)
    answer = await get(gone, "/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_ready_replica_shows_each_check_and_its_versions(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {
            "database": {"status": "ok"},
            "schema": {"status": "ok"},
            "engine": {"status": "ok", "last_tick_age_ms": 5, "namespaces_held": 0},
        },
        "versions": {"scheduler-svc": "0.1.0"},
    }


async def test_a_replica_that_is_not_ready_says_why_with_503(deps: Deps) -> None:
    checks = msgspec.structs.replace(
        READY.checks,
        schema=Check(status="failed", detail="not migrated"),
        engine=EngineCheck(status="failed"),
    )
    failed = Readiness(status="failed", checks=checks, versions={})

    async def ready() -> Readiness:
        return failed

    answer = await get(msgspec.structs.replace(deps, ready=ready), "/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["checks"]["schema"] == {"status": "failed", "detail": "not migrated"}
    failed_engine = {"status": "failed", "last_tick_age_ms": None, "namespaces_held": 0}
    assert answer.json()["checks"]["engine"] == failed_engine


async def test_readiness_that_finds_the_database_away_by_surprise_is_503_too(deps: Deps) -> None:
    async def ready() -> Readiness:
        raise ConnectionResetError

    answer = await get(msgspec.structs.replace(deps, ready=ready), "/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
