"""API keys: who is let in, for what, and how what one key may do is kept from another."""

import re
from hashlib import sha256
from typing import Any

import httpx2
import msgspec
import pytest

from factories import MORNING_MS, Json, body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.routes import ROUTES
from scheduler_svc.domain.access import SCOPES
from scheduler_svc.store.pool import Pool
from serving import Clock, Records

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ROOT = {"Authorization": f"Bearer {BOOTSTRAP}"}
OPEN = {
    *("/healthz", "/readyz", "/openapi.json", "/docs", "/docs/assets/{name}", "/"),
    "/schemas/jobs-file.json",
    "/.well-known/webhook-keys",
    "/.well-known/jwks.json",
    "/.well-known/openid-configuration",
}
GATES = {"/ui/login": 400, "/ui/logout": 204}
"""What a session is begun and ended with: they judge for themselves (test_sessions.py)."""
HOUR_MS = 3_600_000


class Hand:
    """The monotonic clock of the gate, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def gate(pool: Pool, clock: Clock, hand: Hand) -> Gate:
    clock.ms = MORNING_MS
    return Gate(pool, clock, required=True, bootstrap_key=BOOTSTRAP, clock=hand)


@pytest.fixture
def deps(deps: Deps, gate: Gate) -> Deps:
    return msgspec.structs.replace(deps, gate=gate)


async def key(http: httpx2.AsyncClient, *scopes: str, **more: Any) -> Json:
    sent = {"name": "k", "scopes": list(scopes) or ["admin"], **more}
    answer = await http.post("/api-keys", json=sent, headers=ROOT)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


def bearer(made: Json) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['key']}"}


async def test_without_a_key_nothing_but_health_and_the_documents_answers(
    http: httpx2.AsyncClient,
) -> None:
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "01980000-0000-7000-8000-000000000000", route.path)
        answer = await http.request(route.method, path)
        if route.path in OPEN:
            assert answer.status_code in {200, 404}, route.path
            continue
        if route.path in GATES:
            assert answer.status_code == GATES[route.path]
            continue
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), route.path
        assert answer.headers["www-authenticate"] == 'Bearer realm="scheduler-svc"'


async def test_a_key_is_shown_once_and_only_its_digest_is_stored(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await key(http, "jobs:write", name="billing")
    assert re.fullmatch(r"sk_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", made["key"])
    assert made["key"].startswith(made["prefix"] + "_")
    assert made["created_by"] == "bootstrap"
    shown = (await http.get(f"/api-keys/{made['id']}", headers=ROOT)).json()
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert (await http.get("/api-keys", headers=ROOT)).json()["items"] == [shown]
    row = await pool.fetchrow("SELECT * FROM api_keys")
    assert row is not None
    assert row["hash"] == sha256(made["key"].encode()).digest()
    secret = made["key"].removeprefix(made["prefix"])
    assert secret not in str(dict(row))


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_operation_asks_for_its_scope_and_admin_has_them_all(
    http: httpx2.AsyncClient, scope: str
) -> None:
    made = await key(http, scope, namespace="*")
    for route in ROUTES:
        if route.needs == "open":
            continue
        path = re.sub(r"\{\w+\}", "01980000-0000-7000-8000-000000000000", route.path)
        answer = await http.request(route.method, path, headers=bearer(made))
        if scope in {route.needs, "admin"}:
            assert answer.status_code not in {401, 403}, (route.method, route.path)
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
            assert route.needs in answer.json()["detail"]


def test_what_is_new_and_not_thought_of_is_for_admin() -> None:
    one = next(route for route in ROUTES if route.operation_id == "list_jobs")
    assert msgspec.structs.replace(one, tag="something-new").needs == "admin"
    assert one.needs == "jobs:read"
    assert {route.operation_id: route.needs for route in ROUTES if route.method == "POST"} == {
        **dict.fromkeys(
            ("create_job", "create_jobs", "act_on_jobs", "pause_job", "resume_job"), "jobs:write"
        ),
        "apply_jobs": "jobs:write",
        **dict.fromkeys(("trigger_job", "create_backfill", "cancel_backfill"), "jobs:write"),
        **dict.fromkeys(
            ("cancel_run", "replay_run", "create_replay", "cancel_replay"), "runs:write"
        ),
        **dict.fromkeys(("complete_run", "heartbeat_run", "log_in", "log_out"), "open"),
        "preview_schedule": "jobs:read",
        **dict.fromkeys(("create_api_key", "rotate_api_key", "create_signing_secret"), "admin"),
        "release_namespace": "admin",
    }


@pytest.mark.parametrize(
    "given",
    [
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        f"Basic {BOOTSTRAP}",
        BOOTSTRAP,
        f"Bearer {BOOTSTRAP}x",
        f"Bearer {BOOTSTRAP[:-1]}",
        f"Bearer {BOOTSTRAP.upper()}",
        f"Bearer {BOOTSTRAP} {BOOTSTRAP}",
        f"Bearer {'x' * 8193}",
        "Bearer sk_00000000_" + "A" * 43,
        "Bearer ' OR 1=1 --",
        "Bearer \xff\xfe",
    ],
)
async def test_what_is_no_valid_key_is_refused_whatever_it_looks_like(
    http: httpx2.AsyncClient, given: str
) -> None:
    answer = await http.get("/jobs", headers=[(b"authorization", given.encode("latin-1"))])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "x" * 50 not in answer.text


async def test_two_authorization_headers_are_refused(http: httpx2.AsyncClient) -> None:
    twice = [(b"authorization", ROOT["Authorization"].encode())] * 2
    assert (await http.get("/jobs", headers=twice)).status_code == 401


async def test_credentials_are_judged_before_the_body_is_read(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/jobs/bulk", content=b"x" * 33 * 1024 * 1024)
    assert answer.status_code == 401


async def test_a_revoked_key_opens_nothing_once_it_is_looked_up_again(
    http: httpx2.AsyncClient, hand: Hand, gate: Gate
) -> None:
    made = await key(http, "jobs:read")
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    gone = await http.delete(f"/api-keys/{made['id']}", headers=ROOT)
    assert gone.status_code == 204
    hand.seconds += 0.95
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 401
    assert (await http.get(f"/api-keys/{made['id']}", headers=ROOT)).status_code == 404
    other = await key(http, "jobs:read")
    assert (await http.get("/jobs", headers=bearer(other))).status_code == 200
    await http.delete(f"/api-keys/{other['id']}", headers=ROOT)
    gate.forget(other["id"])
    assert (await http.get("/jobs", headers=bearer(other))).status_code == 401


async def test_a_key_in_use_is_looked_up_once_a_second_and_not_more(
    http: httpx2.AsyncClient, hand: Hand, pool: Pool
) -> None:
    made = await key(http, "jobs:read")
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    await pool.execute("DELETE FROM api_keys")
    hand.seconds += 0.85
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    hand.seconds += 0.1
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 401


async def test_an_expired_key_opens_nothing_from_that_very_instant(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    made = await key(http, "jobs:read", expires_at="2026-01-05T09:00:00Z")
    clock.ms = MORNING_MS + HOUR_MS - 1
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    clock.ms = MORNING_MS + HOUR_MS
    assert (await http.get("/jobs", headers=bearer(made))).status_code == 401


async def test_a_key_is_good_from_its_networks_only(app: Any, http: httpx2.AsyncClient) -> None:
    made = await key(http, "jobs:read", cidrs=["10.1.0.0/16", "2001:db8::/32"])
    for peer, status in (
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("2001:db8::7", 200),
        ("10.2.0.1", 401),
        ("127.0.0.1", 401),
        ("not-an-address", 401),
    ):
        transport = httpx2.ASGITransport(app, client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as opened:
            forged = {**bearer(made), "X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3"}
            assert (await opened.get("/jobs", headers=forged)).status_code == status, peer


async def test_the_last_use_of_a_key_is_noted_now_and_then(
    http: httpx2.AsyncClient, clock: Clock, hand: Hand
) -> None:
    made = await key(http, "jobs:read")

    async def used() -> str | None:
        shown: Json = (await http.get(f"/api-keys/{made['id']}", headers=ROOT)).json()
        noted: str | None = shown["last_used_at"]
        return noted

    assert await used() is None
    for minutes, noted in ((0, "08:00:00"), (0.5, "08:00:00"), (2, "08:02:00")):
        clock.ms = MORNING_MS + int(minutes * 60_000)
        hand.seconds += 1
        assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
        assert await used() == f"2026-01-05T{noted}Z"


async def test_a_rotated_key_goes_on_for_the_overlap_and_then_ends(
    http: httpx2.AsyncClient, clock: Clock, hand: Hand
) -> None:
    old = await key(http, "jobs:read", "runs:read", cidrs=["127.0.0.0/8"], name="billing")
    answer = await http.post(f"/api-keys/{old['id']}/rotate", json={"overlap": "1h"}, headers=ROOT)
    new = answer.json()
    assert answer.status_code == 201
    assert new["key"] != old["key"]
    for name in ("name", "namespace", "scopes", "cidrs", "expires_at"):
        assert new[name] == old[name]
    hand.seconds += 1
    for made in (old, new):
        assert (await http.get("/jobs", headers=bearer(made))).status_code == 200
    clock.ms = MORNING_MS + HOUR_MS
    assert (await http.get("/jobs", headers=bearer(old))).status_code == 401
    assert (await http.get("/jobs", headers=bearer(new))).status_code == 200


async def test_what_an_idempotency_key_keeps_never_holds_an_api_key(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    headers = {**ROOT, "Idempotency-Key": "k"}
    sent = {"name": "k", "scopes": ["admin"]}
    first = await http.post("/api-keys", json=sent, headers=headers)
    assert first.status_code == 201
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_the_same_idempotency_key_of_two_credentials_is_two(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    keys = [await key(http, "jobs:write") for _ in range(2)]
    made = set()
    for one in keys:
        headers = {**bearer(one), "Idempotency-Key": "same"}
        answer = await http.post("/jobs", json=body(), headers=headers)
        made.add(answer.json()["id"])
    assert len(made) == 2
    assert await pool.fetchval("SELECT count(*) FROM idempotency_keys") == 2


async def test_who_paused_a_job_is_told_by_the_name_of_the_key(http: httpx2.AsyncClient) -> None:
    made = await key(http, "jobs:write", "jobs:read", name="on-call")
    await http.post("/jobs", json=body(name="j"), headers=bearer(made))
    paused = await http.post("/jobs/j/pause", headers=bearer(made))
    assert paused.json()["pause"]["by"] == "on-call"
    await http.post("/jobs/j/resume", headers=bearer(made))
    sent = {"action": "pause", "filter": {"name_prefix": "j"}}
    await http.post("/jobs/bulk-actions", json=sent, headers=bearer(made))
    assert (await http.get("/jobs/j", headers=bearer(made))).json()["pause"]["by"] == "on-call"


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({}, {"/name", "/scopes"}),
        ({"name": "", "scopes": []}, {"/name", "/scopes"}),
        ({"name": "k", "scopes": ["jobs"]}, {"/scopes/0"}),
        ({"name": "k", "scopes": ["admin"], "namespace": "A b"}, {"/namespace"}),
        ({"name": "k", "scopes": ["admin"], "cidrs": ["10.0.0.1/8"]}, {"/cidrs/0"}),
        (
            {"name": "k", "scopes": ["admin"], "expires_at": "2026-01-05T08:00:00Z"},
            {"/expires_at"},
        ),
        ({"name": "k", "scopes": ["admin"], "key": "sk_mine"}, {"/key"}),
    ],
)
async def test_a_key_that_can_not_be_is_refused_with_every_fault(
    http: httpx2.AsyncClient, sent: Json, pointers: set[str]
) -> None:
    answer = await http.post("/api-keys", json=sent, headers=ROOT)
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == pointers


async def test_keys_are_listed_page_by_page(http: httpx2.AsyncClient) -> None:
    made = [(await key(http, name=f"k{n}"))["id"] for n in range(5)]
    seen: list[str] = []
    path = "/api-keys?limit=2"
    while path:
        answer = await http.get(path, headers=ROOT)
        seen += [item["id"] for item in answer.json()["items"]]
        link = answer.headers.get("link")
        path = link[1 : link.index(">")] if link else ""
    assert sorted(seen) == sorted(made)


async def test_the_development_profile_asks_for_no_key_and_honours_one(
    deps: Deps, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS
    gate = Gate(pool, clock, required=False)
    transport = httpx2.ASGITransport(build_app(msgspec.structs.replace(deps, gate=gate)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        made = (await http.post("/api-keys", json={"name": "k", "scopes": ["jobs:read"]})).json()
        assert made["created_by"] is None
        assert (await http.post("/jobs", json=body())).status_code == 201
        assert (await http.post("/jobs", json=body(), headers=bearer(made))).status_code == 403
        wrong = {"Authorization": "Bearer sk_wrong"}
        assert (await http.get("/jobs", headers=wrong)).status_code == 401


async def test_no_key_is_ever_in_a_record_of_a_request(
    http: httpx2.AsyncClient, records: Records
) -> None:
    made = await key(http)
    await http.get("/jobs", headers=bearer(made))
    assert made["key"] not in repr(records.requests)
