"""A held namespace over HTTP: it is read and written, makes no runs, and is let go by a word."""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from msgspec import structs

from factories import MORNING_MS, Clock, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.access import Caller
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

Json = dict[str, Any]
NOW = instant_at(MORNING_MS)


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


@pytest.fixture
def deps(deps: Deps) -> Deps:
    return structs.replace(deps, held=lambda name: name == "default")


async def hold(pool: Pool, name: str = "default", reason: str = "restored") -> None:
    await pool.execute(
        "INSERT INTO holds (namespace, reason, since, alive_at) VALUES ($1, $2, $3, $4)",
        name,
        reason,
        NOW,
        NOW - timedelta(days=2),
    )


async def read(http: httpx2.AsyncClient, name: str = "default") -> Json:
    answer = await http.get(f"/namespaces/{name}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def release(http: httpx2.AsyncClient, **said: Any) -> httpx2.Response:
    return await http.post("/namespaces/default/release", json=said)


async def test_a_held_namespace_shows_why_since_when_and_what_waits(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 7_200_000
    for _ in range(3):
        await create(http)
    clock.ms = MORNING_MS
    await create(http)
    await hold(pool)
    found = await read(http)
    assert found["held"] == {
        "reason": "restored",
        "since": "2026-01-05T08:00:00Z",
        "alive_at": "2026-01-03T08:00:00Z",
        "missed": None,
        "overdue": 3,
        "oldest": "2026-01-05T07:00:00Z",
        "runs": 0,
    }
    assert (found["name"], found["revision"]) == ("default", 0)


async def test_one_with_settings_shows_both_and_is_listed(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await http.put("/namespaces/default", json={})
    await hold(pool, reason="outage")
    assert (await http.put("/namespaces/default", json={})).json()["held"]["runs"] == 0
    assert (await read(http))["revision"] == 1
    (listed,) = (await http.get("/namespaces")).json()["items"]
    assert (listed["held"]["reason"], listed["held"]["overdue"]) == ("outage", None)


@pytest.mark.parametrize("missed", ["release", "skip", "once"])
async def test_it_is_released_by_one_word_and_the_same_again_changes_nothing(
    http: httpx2.AsyncClient, pool: Pool, missed: str
) -> None:
    await hold(pool)
    for _ in range(2):
        answer = await release(http, missed=missed)
        assert answer.status_code == 200, answer.text
        assert answer.json()["held"]["missed"] == missed
    other = "skip" if missed == "once" else "once"
    refused = await release(http, missed=other)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert f"'{missed}' was said already" in refused.json()["detail"]


async def test_catch_ups_are_spread_over_as_long_as_the_rate_asks_for(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 7_200_000
    for _ in range(3):
        await create(http)
    clock.ms = MORNING_MS
    await hold(pool)
    await release(http, missed="once", max_per_minute=2)
    assert await pool.fetchval("SELECT window_ms FROM holds") == 90_000


async def test_a_namespace_that_is_not_held_stays_as_it_is(http: httpx2.AsyncClient) -> None:
    assert (await release(http, missed="skip")).status_code == 404
    await http.put("/namespaces/default", json={})
    answer = await release(http, missed="skip")
    assert (answer.status_code, answer.json()["held"]) == (200, None)


@pytest.mark.parametrize(
    "said", [{}, {"missed": "all"}, {"missed": "once", "max_per_minute": 0}, {"mised": "once"}]
)
async def test_what_makes_no_sense_is_refused(
    http: httpx2.AsyncClient, pool: Pool, said: Json
) -> None:
    await hold(pool)
    assert (await release(http, **said)).status_code == 422


async def test_jobs_are_read_and_written_and_nothing_makes_a_run(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = await create(http, name="one")
    run = (await http.post("/jobs/one/trigger")).json()
    await pool.execute(
        "UPDATE runs SET status = 'failed', reason = 'status', finished_at = now(),"
        " next_attempt_at = NULL"
    )
    await hold(pool)
    assert (await http.get("/jobs/one")).status_code == 200
    assert (await http.patch("/jobs/one", json={"description": "x"})).status_code == 200
    assert (await http.post("/jobs/one/pause")).status_code == 200
    january = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    for path, body in [
        ("/jobs/one/trigger", None),
        (f"/runs/{run['id']}/replay", None),
        (f"/jobs/{job['id']}/backfill", january),
        ("/runs/replay", {"filter": {"status": "failed", "job_id": job["id"]}}),
        ("/jobs/bulk-actions", {"action": "trigger", "filter": {}, "expect_count": 1}),
    ]:
        refused = await http.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict"), path
        assert "POST /namespaces/default/release" in refused.json()["detail"]
    await release(http, missed="skip")
    assert "is being released" in (await http.post("/jobs/one/trigger")).json()["detail"]
    await pool.execute("DELETE FROM holds")
    assert (await http.post("/jobs/one/trigger")).status_code == 202


async def test_nobody_releases_the_namespace_of_another(deps: Deps, pool: Pool) -> None:
    await hold(pool)

    class Other:
        async def caller(self, _headers: Any, _peer: Any, _session: Any = None) -> Caller:
            return Caller(id="k", name="k", namespace="other", scopes=frozenset({"admin"}))

        def remembers(self, _headers: Any, _session: Any = None) -> bool:
            return True

    transport = httpx2.ASGITransport(build_app(structs.replace(deps, gate=Other())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as http:
        assert (await release(http, missed="skip")).status_code == 404


async def test_explain_says_that_an_occurrence_waits_for_a_word(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 7_200_000
    await create(http, name="one")
    clock.ms = MORNING_MS
    await hold(pool)
    told = (await http.get("/jobs/one/explain?at=2026-01-05T07:00:00Z")).json()
    assert (told["verdict"], told["reason"]) == ("fires", "namespace_held")
    await pool.execute(
        "INSERT INTO runs (id, scheduled_for, job_id, namespace, trigger, status, queued, held,"
        " next_attempt_at) SELECT gen_random_uuid(), $1, id, 'default', 'schedule', 'due', true,"
        " true, $1 FROM jobs",
        NOW - timedelta(hours=1),
    )
    told = (await http.get("/jobs/one/explain?at=2026-01-05T07:00:00Z")).json()
    assert (told["verdict"], told["reason"]) == ("fires", "namespace_held")
    await pool.execute(
        "UPDATE runs SET status = 'skipped', reason = 'held', next_attempt_at = NULL,"
        " finished_at = $1",
        NOW,
    )
    told = (await http.get("/jobs/one/explain?at=2026-01-05T07:00:00Z")).json()
    assert (told["verdict"], told["reason"]) == ("skipped", "held")
