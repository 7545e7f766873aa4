"""A create in one statement promises what one in several does: rules as they are, no half of it."""

import asyncio

import httpx2
import pytest

from factories import MORNING_MS, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

MINUTE_MS = 60_000


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def elsewhere(pool: Pool, clock: Clock, settings: dict[str, object]) -> None:
    """Change the settings of the namespace on another replica, a moment later."""
    assert clock.ms is not None
    clock.ms += 5
    transport = httpx2.ASGITransport(build_app(lend(pool, clock, Records())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as other:
        answer = await other.put("/namespaces/default", json=settings)
    assert answer.is_success, answer.text


async def test_a_create_is_judged_by_rules_that_another_replica_has_just_changed(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await create(http)  # what holds is known from now on
    await elsewhere(pool, clock, {"egress": {"allow": ["*.example.org"], "deny": []}})
    refused = await http.post("/jobs", json=body())
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/target/url"]
    await elsewhere(pool, clock, {})
    await create(http)
    await elsewhere(pool, clock, {"quotas": {"jobs_max": 2}})
    full = await http.post("/jobs", json=body())
    assert full.json()["code"] == "quota_exceeded"
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 2
    assert await pool.fetchval("SELECT count(*) FROM job_timers") == 2
    assert (
        await pool.fetchval("SELECT count(*) FROM audit_pending WHERE resource_kind = 'job'") == 2
    )


async def test_a_schedule_that_was_good_is_judged_by_a_quota_that_came_after(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    often = body(schedule={"cron": "* * * * *"})
    assert (await http.post("/jobs", json=often)).status_code == 201
    await elsewhere(pool, clock, {"quotas": {"min_interval": "5m"}})
    assert (await http.post("/jobs", json=often)).status_code == 422


async def test_parts_that_were_good_are_judged_by_a_quota_that_came_after(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    long = body(target={"body": {"text": "x" * 200}})
    assert (await http.post("/jobs", json=long)).status_code == 201
    await elsewhere(pool, clock, {"quotas": {"body_max": 100}})
    refused = await http.post("/jobs", json=long)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/target/body"]


async def test_a_name_that_is_taken_leaves_nothing(http: httpx2.AsyncClient, pool: Pool) -> None:
    await create(http, name="a")
    again = await http.post("/jobs", json=body(name="a"))
    assert again.status_code == 409
    assert again.json()["code"] == "name_taken"
    for table in ("jobs", "job_timers", "job_expectations"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 1
    assert await pool.fetchval("SELECT count(*) FROM audit_pending") == 1


async def test_replicas_are_woken_for_what_is_due_before_they_look_and_for_nothing_else(
    http: httpx2.AsyncClient, dsn: str, deps: Deps
) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = asyncio.create_task(
        notices.listen(dsn, lambda *told: heard.put_nowait(told), application_name="test")
    )
    try:
        assert await asyncio.wait_for(heard.get(), 30) == ("wake", "0")
        await create(http, schedule={"cron": "0 12 * * *"})
        await create(http, schedule={"every": "1m"})
        told = await asyncio.wait_for(heard.get(), 30)
    finally:
        listening.cancel()
        await asyncio.wait([listening])
    assert told == ("wake", str(MORNING_MS + MINUTE_MS))
    assert deps.now_ms() == MORNING_MS
