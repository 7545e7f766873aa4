"""Namespaces over HTTP: settings of all jobs of one, judged whole, under an ETag like a job's."""

from typing import Any

import httpx2
import pytest
from msgspec import structs

from factories import MORNING_MS, Clock, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain import namespaces as rules
from scheduler_svc.domain.events import EventName
from scheduler_svc.store.pool import Pool

Json = dict[str, Any]
ONLY_LOOPBACK = {"egress": {"allow": ["127.0.0.0/8"], "deny": [":9443"]}}

QUOTAS = ("jobs_max", "min_interval", "runs_per_minute", "body_max", "backfill_max")
USAGE = {"jobs": 0, "jobs_max": None, "runs_this_minute": 0, "runs_per_minute": None}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def put(http: httpx2.AsyncClient, settings: Json, name: str = "default") -> httpx2.Response:
    return await http.put(f"/namespaces/{name}", json=settings)


async def test_a_namespace_gets_settings_by_its_name_and_shows_them(
    http: httpx2.AsyncClient,
) -> None:
    alerts = {"failures_in_row": 5, "late_after": "90m"}
    answer = await put(http, {**ONLY_LOOPBACK, "alerts": alerts}, "team-a")
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/namespaces/team-a"
    assert answer.headers["ETag"] == '"1"'
    made = answer.json()
    assert made == {
        "name": "team-a",
        **ONLY_LOOPBACK,
        "alerts": {
            "url": None,
            "every_failure": False,
            "failures_in_row": 5,
            "failures_of": None,
            "late_after": "1h30m",
            "never_ran": False,
            "slow_factor": None,
            "on_recovery": True,
        },
        "held": None,
        "retention": None,
        "quotas": dict.fromkeys(QUOTAS),
        "usage": None,
        "revision": 1,
        "created_at": "2026-01-05T08:00:00Z",
        "updated_at": "2026-01-05T08:00:00Z",
    }
    read = (await http.get("/namespaces/team-a")).json()
    assert read == {**made, "usage": USAGE}


async def test_the_same_settings_again_change_nothing_and_others_raise_the_revision(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    first = await put(http, ONLY_LOOPBACK)
    clock.ms = MORNING_MS + 1000
    again = await put(http, ONLY_LOOPBACK)
    assert (again.status_code, again.headers["ETag"]) == (200, '"1"')
    assert again.json() == first.json()
    changed = await put(http, {})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert changed.json()["egress"] == {"allow": [], "deny": []}
    assert changed.json()["updated_at"] == "2026-01-05T08:00:01Z"


async def test_a_change_may_ask_that_nobody_else_made_one(http: httpx2.AsyncClient) -> None:
    create_only = {"If-None-Match": "*"}
    stale = {"If-Match": '"1"'}
    path = "/namespaces/default"
    assert (await http.put(path, json={}, headers=stale)).status_code == 412
    assert (await http.put(path, json={}, headers=create_only)).status_code == 201
    assert (await http.put(path, json=ONLY_LOOPBACK, headers=create_only)).status_code == 412
    assert (await http.put(path, json=ONLY_LOOPBACK, headers=stale)).status_code == 200
    refused = await http.put(path, json={}, headers=stale)
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    kept = await http.get(path, headers={"If-None-Match": '"2"'})
    assert (kept.status_code, kept.headers["ETag"]) == (304, '"2"')


async def test_a_namespace_without_settings_is_not_there(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/namespaces/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await http.get("/namespaces")).json() == {"items": [], "next_cursor": None}


async def test_the_list_goes_by_name_page_by_page(http: httpx2.AsyncClient) -> None:
    for name in ("b", "c", "a"):
        await put(http, {}, name)
    first = await http.get("/namespaces?limit=2")
    assert [one["name"] for one in first.json()["items"]] == ["a", "b"]
    following = first.json()["next_cursor"]
    assert f"cursor={following}" in first.headers["Link"]
    rest = (await http.get("/namespaces", params={"cursor": following})).json()
    assert [one["name"] for one in rest["items"]] == ["c"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("settings", "pointers"),
    [
        ([], {""}),
        ({"egres": {}}, {"/egres"}),
        ({"name": "x", "revision": 2}, {"/name", "/revision"}),
        ({"egress": {"alow": []}}, {"/egress/alow"}),
        ({"egress": {"allow": "10.0.0.0/8"}}, {"/egress/allow"}),
        (
            {"egress": {"allow": ["10.0.0.1/8", "ok.example", "a b"], "deny": ["host:0", ""]}},
            {"/egress/allow/0", "/egress/allow/2", "/egress/deny/0", "/egress/deny/1"},
        ),
        ({"egress": {"deny": ["x"] * 201}}, {"/egress/deny"}),
        ({"alerts": {"url": "https://10.0.0.1/"}}, {"/alerts/url"}),
        ({"alerts": {"url": "https://example.com/{{x"}}, {"/alerts/url"}),
        (
            {"alerts": {"url": "https://b.example/"}, "egress": {"allow": ["a.example"]}},
            {"/alerts/url"},
        ),
        (
            {"alerts": {"late_after": "999999d"}, "egress": {"deny": ["fd00::/8:443"]}, "x": 1},
            {"/alerts/late_after", "/egress/deny/0", "/x"},
        ),
    ],
)
async def test_what_is_wrong_with_settings_is_told_at_once(
    http: httpx2.AsyncClient, settings: Any, pointers: set[str]
) -> None:
    answer = await put(http, settings)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers
    assert (await http.get("/namespaces/default")).status_code == 404


async def test_a_name_that_is_none_is_refused(http: httpx2.AsyncClient) -> None:
    for name in ("Upper", "-a", "a b", "0198aaaa-0000-7000-8000-000000000000"):
        answer = await put(http, {}, name)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == "name"


async def test_a_target_outside_of_its_namespace_is_refused_by_every_verb(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="there")
    await put(http, {"egress": {"allow": ["*.example.com", "127.0.0.1:8081"], "deny": [":9443"]}})
    for url in ("https://other.example/", "http://127.0.0.2/", "https://a.example.com:9443/"):
        sent = body(target={"url": url})
        for method, path in (
            ("POST", "/jobs"),
            ("POST", "/jobs?dry_run=true"),
            ("PUT", "/jobs/new"),
            ("PUT", "/jobs/new?dry_run=true"),
            ("PUT", "/jobs/there"),
            ("PATCH", "/jobs/there"),
            ("PATCH", "/jobs/there?dry_run=true"),
        ):
            answer = await http.request(method, path, json=sent)
            assert answer.status_code == 422, (method, path, url)
            (error,) = answer.json()["errors"]
            assert error["pointer"] == "/target/url"
            assert "of its namespace" in error["detail"]
    for url in ("https://a.example.com/", "http://127.0.0.1:8081/"):
        assert (await http.post("/jobs", json=body(target={"url": url}))).status_code == 201


async def test_a_name_that_only_its_address_can_judge_is_judged_when_it_is_dialled(
    http: httpx2.AsyncClient,
) -> None:
    await put(http, {"egress": {"allow": ["8.8.8.0/24"], "deny": ["9.9.9.9"]}})
    await create(http, target={"url": "https://a.example.com/"})
    for url in ("https://9.9.9.9/", "https://8.8.4.4/", "https://[2606:4700::1111]/"):
        answer = await http.post("/jobs", json=body(target={"url": url}))
        assert answer.status_code == 422


async def test_a_namespace_opens_nothing_that_the_operator_closed(http: httpx2.AsyncClient) -> None:
    """Narrowing only: its allow list is judged beside the operator's rules."""
    await put(http, {"egress": {"allow": ["10.0.0.0/8", "intranet", ":6379", "0.0.0.0/0"]}})
    for url in ("http://10.0.0.1/", "http://intranet/", "https://example.com:6379/"):
        answer = await http.post("/jobs", json=body(target={"url": url}))
        assert answer.status_code == 422
        assert "of its namespace" not in answer.json()["errors"][0]["detail"]


async def test_rules_of_one_namespace_do_not_touch_another(http: httpx2.AsyncClient) -> None:
    await put(http, {"egress": {"deny": ["0.0.0.0/0"]}}, "elsewhere")
    await create(http)


async def test_a_change_is_told_and_a_repetition_is_not(deps: Deps, pool: Pool) -> None:
    told: list[tuple[EventName, dict[str, object]]] = []

    def hear(name: EventName, /, **fields: object) -> None:
        told.append((name, fields))

    transport = httpx2.ASGITransport(build_app(structs.replace(deps, on_event=hear)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        await put(http, {})
        await put(http, {})
        await put(http, ONLY_LOOPBACK)
    assert told == [
        (EventName.NAMESPACE_UPDATED, {"namespace": "default", "revision": 1}),
        (EventName.NAMESPACE_UPDATED, {"namespace": "default", "revision": 2}),
    ]


async def test_there_is_a_limit_to_what_every_replica_keeps_in_memory(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await pool.execute(
        """
        INSERT INTO namespaces (name, settings, revision, created_at, updated_at)
        SELECT 'n' || n, '{}', 1, now(), now() FROM generate_series(1, $1) AS n
        """,
        rules.NAMESPACES_MAX,
    )
    assert (await put(http, {}, "one-more")).status_code == 409
    assert (await put(http, ONLY_LOOPBACK, "n1")).status_code == 200
