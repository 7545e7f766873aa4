"""Alerts over HTTP: their shape, and from when on a job is looked at."""

from uuid import UUID

import httpx2
import pytest
from asyncpg import Record
from msgspec.structs import replace

from factories import MORNING_MS, Clock, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
URL = "http://127.0.0.1:9/alerts"


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def watched(pool: Pool, job_id: str) -> Record | None:
    row: Record | None = await pool.fetchrow(
        "SELECT watch_at, quiet_from FROM job_incidents WHERE job_id = $1", UUID(job_id)
    )
    return row


async def test_alerts_come_back_with_their_defaults_and_in_normal_form(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(
        http,
        alerts={
            "url": URL,
            "late_after": "90m",
            "failures_of": {"failures": 3, "runs": 10},
            "slow_factor": 2,
        },
        auto_pause_after=5,
    )
    assert made["alerts"] == {
        "url": URL,
        "every_failure": False,
        "failures_in_row": 3,
        "failures_of": {"failures": 3, "runs": 10},
        "late_after": "1h30m",
        "never_ran": False,
        "slow_factor": 2,
        "on_recovery": True,
    }
    assert made["auto_pause_after"] == 5


async def test_a_put_of_what_a_get_shows_changes_nothing(http: httpx2.AsyncClient) -> None:
    await create(http, name="a", alerts={"url": URL, "never_ran": True})
    spec = (await http.get("/jobs/a?view=spec")).json()
    answer = await http.put("/jobs/a", json=spec)
    assert (answer.status_code, answer.json()["changed"]) == (200, False)


async def test_a_job_with_an_address_is_looked_at_once_its_first_run_would_be_late(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(
        http,
        schedule={"cron": "0 * * * *"},
        alerts={"url": URL, "late_after": "10m", "never_ran": True},
    )
    row = await watched(pool, made["id"])
    assert row is not None
    # The occurrence of this very instant is the schedule's, if not the job's: looking costs little.
    assert row["watch_at"] == instant_at(MORNING_MS + 600_000)
    assert row["quiet_from"] == instant_at(MORNING_MS + HOUR_MS)
    without = await create(http)
    assert await watched(pool, without["id"]) is None


async def test_pause_delete_and_an_edit_end_the_looks_and_resume_begins_them(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="a", alerts={"url": URL, "never_ran": True})

    async def looks() -> bool:
        row = await watched(pool, made["id"])
        return row is not None and row["watch_at"] is not None

    assert await looks()
    await http.post("/jobs/a/pause")
    assert not await looks()
    await http.post("/jobs/a/resume")
    assert await looks()
    await http.patch("/jobs/a", json={"alerts": {"url": None}})
    assert not await looks()
    await http.patch("/jobs/a", json={"alerts": {"url": URL}})
    assert await looks()
    await http.delete("/jobs/a")
    assert await watched(pool, made["id"]) is None


async def test_a_job_whose_namespace_tells_of_it_is_looked_at_from_the_beginning_and_on(
    deps: Deps, pool: Pool
) -> None:
    shared = Alerts(url=URL, never_ran=True)
    told = {"default": shared}
    app = build_app(replace(deps, namespace_alerts=told.get))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        one = (await create(http, name="a"))["id"]
        many = (await http.post("/jobs/bulk", json={"jobs": [body()]})).json()["items"][0]["id"]
        first = await watched(pool, one)
        assert first is not None
        assert first["watch_at"] is not None
        assert await watched(pool, many) == first
        await http.patch("/jobs/a", json={"description": "edited"})
        assert await watched(pool, one) == first
