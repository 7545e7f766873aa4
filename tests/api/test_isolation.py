"""Namespaces: a key of one sees nothing of another, whatever it asks for, wherever it puts it."""

import json
import re
from typing import Any

import httpx2
import msgspec
import pytest

from auditing import seal_pending
from factories import MORNING_MS, Json, body, settle
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.routes import ROUTES
from scheduler_svc.store.pool import Pool
from serving import Clock

ROOT = {"Authorization": "Bearer a-bootstrap-key-of-enough-length"}
RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
NOBODY = "01980000-0000-7000-8000-000000000000"
BODIES: dict[str, Any] = {
    "put_job": body(),
    "patch_job": {"priority": 1},
    "create_backfill": RANGE,
}


@pytest.fixture
def deps(deps: Deps, pool: Pool, clock: Clock) -> Deps:
    clock.ms = MORNING_MS
    gate = Gate(pool, clock, required=True, bootstrap_key=ROOT["Authorization"][7:])
    return msgspec.structs.replace(deps, gate=gate)


@pytest.fixture
async def keys(http: httpx2.AsyncClient) -> dict[str, dict[str, str]]:
    """A key with all scopes for each of two namespaces."""
    made = {}
    for name in ("team-a", "team-b"):
        sent = {"name": name, "scopes": ["admin"], "namespace": name}
        answer = await http.post("/api-keys", json=sent, headers=ROOT)
        made[name] = {"Authorization": f"Bearer {answer.json()['key']}"}
    return made


async def belongings(http: httpx2.AsyncClient, pool: Pool, whose: dict[str, str]) -> dict[str, str]:
    """One of everything that has an id, by the beginning of its path."""
    job: Json = (
        await http.post("/jobs", json=body(name="secret", description="canary"), headers=whose)
    ).json()
    run: Json = (await http.post("/jobs/secret/trigger", headers=whose)).json()
    await pool.execute(
        "UPDATE runs SET status = 'running', replica = gen_random_uuid(), attempt_count = 1"
    )
    await settle(pool, run["id"], job["id"], now_ms=MORNING_MS)
    backfill: Json = (await http.post("/jobs/secret/backfill", json=RANGE, headers=whose)).json()
    wanted = {"filter": {"status": "succeeded", "job_id": job["id"]}, "max_per_minute": 1}
    replay: Json = (await http.post("/runs/replay", json=wanted, headers=whose)).json()
    signing: Json = (await http.post("/signing-secrets", json={}, headers=whose)).json()
    await http.put("/secrets/token", json={"value": "canary"}, headers=whose)
    listed: Json = (await http.get("/api-keys", headers=whose)).json()
    return {
        "/jobs/{id}": job["id"],
        "/runs/{id}": run["id"],
        "/backfills/{id}": backfill["id"],
        "/api-keys/{id}": listed["items"][0]["id"],
        "/signing-secrets/{id}": signing["id"],
        "/replays/{id}": replay["id"],
    }


def path_of(template: str, ids: dict[str, str]) -> str:
    for beginning, found in ids.items():
        if template.startswith(beginning):
            return template.replace("{id}", found)
    raise AssertionError(f"nothing of the kind of {template} was made for this test")


async def test_each_resource_of_another_namespace_is_answered_as_if_there_were_none(
    http: httpx2.AsyncClient, pool: Pool, keys: dict[str, dict[str, str]]
) -> None:
    ids = await belongings(http, pool, keys["team-a"])
    before = await everything(pool)
    walked = 0
    document = (await http.get("/openapi.json")).json()
    for template, operations in document["paths"].items():
        if "{id}" not in template or template.startswith("/docs"):
            continue
        for method, operation in operations.items():
            walked += 1
            path = path_of(template, ids)
            own_token = operation.get("security") == [{"completion": []}]
            query = "?at=2026-01-05T08:00:00Z" if template.endswith("/explain") else ""
            sent = BODIES.get(operation["operationId"])
            theirs = await http.request(
                method.upper(), path + query, json=sent, headers=keys["team-b"]
            )
            nobodys = await http.request(
                method.upper(),
                template.replace("{id}", NOBODY) + query,
                json=sent,
                headers=keys["team-b"],
            )
            refused = 401 if own_token else 404
            assert theirs.status_code == nobodys.status_code == refused, (method, template)
            told = theirs.json()["detail"].replace(path.split("/")[2], NOBODY)
            assert told == nobodys.json()["detail"]
    assert walked == sum("{id}" in route.path for route in ROUTES if not route.hidden)
    assert await everything(pool) == before


async def test_a_secret_and_the_settings_of_another_namespace_can_not_be_seen_or_changed(
    http: httpx2.AsyncClient, pool: Pool, keys: dict[str, dict[str, str]]
) -> None:
    await belongings(http, pool, keys["team-a"])
    assert (await http.put("/namespaces/team-a", json={}, headers=ROOT)).status_code == 201
    before = await everything(pool)
    other = keys["team-b"]
    assert (await http.delete("/secrets/token", headers=other)).status_code == 404
    assert (await http.get("/namespaces/team-a", headers=other)).status_code == 404
    told = await http.post("/namespaces/team-a/release", json={"missed": "skip"}, headers=other)
    assert told.status_code == 404
    assert (await http.get("/namespaces", headers=other)).json()["items"] == []
    # Not even its own: what narrows a namespace is not the namespace's to lift.
    for name in ("team-a", "team-b"):
        told = await http.put(f"/namespaces/{name}", json={}, headers=other)
        assert (told.status_code, told.json()["code"]) == (403, "forbidden")
    own = await http.get("/namespaces", headers=keys["team-a"])
    assert [item["name"] for item in own.json()["items"]] == ["team-a"]
    assert await everything(pool) == before


async def everything(pool: Pool) -> list[Any]:
    found: list[Any] = []
    for table in (
        "jobs",
        "job_timers",
        "runs",
        "backfills",
        "replays",
        "secrets",
        "signing_secrets",
    ):
        found += [dict(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]
    return found


async def test_no_list_count_or_forecast_shows_anything_of_another_namespace(
    http: httpx2.AsyncClient, pool: Pool, keys: dict[str, dict[str, str]]
) -> None:
    ids = await belongings(http, pool, keys["team-a"])
    await seal_pending(pool)
    for route in ROUTES:
        if route.method != "GET" or "{" in route.path or route.needs == "open":
            continue
        if route.path == "/events":  # never ends: tests/cluster/test_events.py has it
            continue
        answer = await http.get(route.path, headers=keys["team-b"])
        counts_all = route.path == "/metrics"
        assert answer.status_code == (403 if counts_all else 200), route.path
        for canary in ("secret", "canary", "team-a", *ids.values()):
            assert canary not in answer.text, route.path
    for query in (f"/runs?job_id={ids['/jobs/{id}']}", f"/backfills?job_id={ids['/jobs/{id}']}"):
        assert (await http.get(query, headers=keys["team-b"])).json()["items"] == []


async def test_actions_by_filter_touch_nothing_of_another_namespace(
    http: httpx2.AsyncClient, pool: Pool, keys: dict[str, dict[str, str]]
) -> None:
    await belongings(http, pool, keys["team-a"])
    before = await everything(pool)
    for action in ("pause", "trigger", "resume", "delete"):
        sent = {"action": action, "filter": {"name_prefix": "s"}}
        told = await http.post("/jobs/bulk-actions", json=sent, headers=keys["team-b"])
        assert told.json() == {"matched": 0, "done": 0}
    assert await everything(pool) == before


async def test_a_name_and_an_idempotency_key_are_each_namespaces_own(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    made = []
    for whose in keys.values():
        headers = {**whose, "Idempotency-Key": "same"}
        answer = await http.post("/jobs", json=body(name="report"), headers=headers)
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers
        made.append(answer.json())
    assert [job["namespace"] for job in made] == ["team-a", "team-b"]


async def test_a_cursor_of_another_namespace_is_refused(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    for _ in range(3):
        await http.post("/jobs", json=body(), headers=keys["team-a"])
    page = (await http.get("/jobs?limit=1", headers=keys["team-a"])).json()
    path = f"/jobs?limit=1&cursor={page['next_cursor']}"
    assert (await http.get(path, headers=keys["team-a"])).status_code == 200
    assert (await http.get(path, headers=keys["team-b"])).status_code == 422


async def test_a_key_bound_to_a_namespace_may_not_name_another(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    own = {**keys["team-a"], "Scheduler-Namespace": "team-a"}
    assert (await http.get("/jobs", headers=own)).status_code == 200
    other = {**keys["team-a"], "Scheduler-Namespace": "team-b"}
    answer = await http.get("/jobs", headers=other)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_key_of_all_namespaces_says_which_it_means(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    await http.post("/jobs", json=body(name="j"), headers=keys["team-b"])
    assert (await http.get("/jobs/j", headers=ROOT)).status_code == 404
    there = {**ROOT, "Scheduler-Namespace": "team-b"}
    assert (await http.get("/jobs/j", headers=there)).json()["namespace"] == "team-b"


@pytest.mark.parametrize("name", ["", "*", "Team", "a b", "a" * 64, "../a"])
async def test_what_is_no_namespace_is_refused(http: httpx2.AsyncClient, name: str) -> None:
    answer = await http.get("/jobs", headers={**ROOT, "Scheduler-Namespace": name})
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == ["Scheduler-Namespace"]


async def test_a_key_of_one_namespace_makes_and_sees_keys_of_that_one_alone(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    for namespace in ("team-b", "*"):
        sent = {"name": "k", "scopes": ["jobs:read"], "namespace": namespace}
        answer = await http.post("/api-keys", json=sent, headers=keys["team-a"])
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    sent = {"name": "k", "scopes": ["jobs:read"]}
    made = (await http.post("/api-keys", json=sent, headers=keys["team-a"])).json()
    assert made["namespace"] == "team-a"
    mine = (await http.get("/api-keys", headers=keys["team-a"])).json()["items"]
    assert {item["namespace"] for item in mine} == {"team-a"}
    every = (await http.get("/api-keys", headers=ROOT)).json()["items"]
    assert {item["namespace"] for item in every} == {"team-a", "team-b"}


async def test_fields_that_decide_whose_a_job_is_can_not_be_set(
    http: httpx2.AsyncClient, keys: dict[str, dict[str, str]]
) -> None:
    for name, value in (("namespace", "team-b"), ("id", NOBODY), ("created_by", "x")):
        sent = json.dumps({**body(), name: value})
        headers = {**keys["team-a"], "Content-Type": "application/json"}
        for method, path in (("POST", "/jobs"), ("PUT", "/jobs/j")):
            answer = await http.request(method, path, content=sent, headers=headers)
            assert answer.status_code == 422
            assert re.search(name, answer.text)
