"""Named secrets and secrets that sign: made, listed without their values, rotated, gone."""

import asyncio
import base64
from typing import Any

import asyncpg
import httpx2
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from factories import MORNING_MS, Clock, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import Pool
from sealing import PUBLIC_URL

VALUE = "canary-value-of-a-secret"
HOUR = 3_600_000


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


def pointers(answer: httpx2.Response) -> set[str]:
    assert answer.status_code == 422, answer.text
    return {error.get("pointer", error.get("parameter")) for error in answer.json()["errors"]}


async def test_a_secret_is_made_replaced_listed_by_name_and_deleted(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await http.put("/secrets/token", json={"value": VALUE})
    assert made.status_code == 201
    shown = {"name": "token", "created_at": "2026-01-05T08:00:00Z"}
    assert made.json() == {**shown, "updated_at": "2026-01-05T08:00:00Z"}
    clock.ms = MORNING_MS + HOUR
    replaced = await http.put("/secrets/token", json={"value": VALUE + "2"})
    assert replaced.status_code == 200
    assert replaced.json() == {**shown, "updated_at": "2026-01-05T09:00:00Z"}
    listed = await http.get("/secrets")
    assert listed.json() == {"items": [replaced.json()], "next_cursor": None}
    assert VALUE not in made.text + replaced.text + listed.text
    assert VALUE not in await pool.fetchval("SELECT s::text FROM secrets AS s")
    assert (await http.delete("/secrets/token")).status_code == 204
    assert (await http.delete("/secrets/token")).status_code == 404
    assert (await http.get("/secrets")).json()["items"] == []


async def test_the_same_value_again_changes_nothing(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await http.put("/secrets/token", json={"value": VALUE})
    sealed = await pool.fetchval("SELECT sealed FROM secrets")
    clock.ms = MORNING_MS + HOUR
    again = await http.put("/secrets/token", json={"value": VALUE})
    assert (again.status_code, again.json()) == (200, made.json())
    assert await pool.fetchval("SELECT sealed FROM secrets") == sealed


async def test_secrets_are_listed_by_name_page_by_page(http: httpx2.AsyncClient) -> None:
    names = ["b", "a", "c.d", "c-d"]
    for name in names:
        await http.put(f"/secrets/{name}", json={"value": "v"})
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await http.get("/secrets", params={"limit": 2, **cursor})).json()
        seen += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(names)


@pytest.mark.parametrize(
    ("name", "sent", "pointer"),
    [
        ("token", {}, "/value"),
        ("token", {"value": 5}, "/value"),
        ("token", {"value": ""}, "/value"),
        ("token", {"value": "ä" * 9000}, "/value"),
        ("token", {"value": "x" * 16_385}, "/value"),
        ("token", {"value": "v", "ttl": 5}, "/ttl"),
        ("Token", {"value": "v"}, "name"),
        ("a%20b", {"value": "v"}, "name"),
    ],
)
async def test_a_bad_secret_is_refused(
    http: httpx2.AsyncClient, name: str, sent: Any, pointer: str
) -> None:
    assert pointer in pointers(await http.put(f"/secrets/{name}", json=sent))


async def test_a_namespace_holds_a_thousand_secrets(http: httpx2.AsyncClient, pool: Pool) -> None:
    await pool.execute(
        """INSERT INTO secrets SELECT 'default', 'n' || n, 'sealed:v1:x', now(), now()
        FROM generate_series(1, 1000) AS n"""
    )
    assert (await http.put("/secrets/more", json={"value": "v"})).status_code == 409
    assert (await http.put("/secrets/n7", json={"value": "v"})).status_code == 200


async def test_a_signing_secret_is_shown_once_and_never_again(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await http.post("/signing-secrets", json={"name": "first"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(raw) == 32
    listed = await http.get("/signing-secrets")
    (item,) = listed.json()["items"]
    assert item == {name: value for name, value in made.json().items() if name != "secret"}
    assert item["hint"].lstrip("…") == secret.rstrip("=")[-4:]
    assert secret not in listed.text
    row = await pool.fetchval("SELECT s::text FROM signing_secrets AS s")
    assert secret not in row
    assert raw.hex() not in row


async def test_a_deleted_secret_may_sign_a_while_longer(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    made = (await http.post("/signing-secrets")).json()
    kept = await http.delete(f"/signing-secrets/{made['id']}?after=24h")
    assert kept.status_code == 200
    assert kept.json()["expires_at"] == "2026-01-06T08:00:00Z"
    assert len((await http.get("/signing-secrets")).json()["items"]) == 1
    clock.ms = MORNING_MS + 24 * HOUR
    assert (await http.get("/signing-secrets")).json()["items"] == []
    assert (await http.delete(f"/signing-secrets/{made['id']}")).status_code == 404
    other = (await http.post("/signing-secrets")).json()
    assert (await http.delete(f"/signing-secrets/{other['id']}")).status_code == 204
    assert (await http.delete(f"/signing-secrets/{other['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/signing-secrets/nonsense", 404),
        ("/signing-secrets/0198aaaa-0000-7000-8000-000000000000", 404),
        ("/signing-secrets/0198aaaa-0000-7000-8000-000000000000?after=91d", 422),
        ("/signing-secrets/0198aaaa-0000-7000-8000-000000000000?after=soon", 422),
    ],
)
async def test_only_what_is_there_can_be_deleted(
    http: httpx2.AsyncClient, path: str, status: int
) -> None:
    assert (await http.delete(path)).status_code == status


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("HOOKS.Example.com.", "hooks.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
    ],
)
async def test_the_host_of_a_signing_secret_is_kept_as_targets_spell_it(
    http: httpx2.AsyncClient, given: str, kept: str
) -> None:
    made = await http.post("/signing-secrets", json={"host": given})
    assert made.json()["host"] == kept


@pytest.mark.parametrize(
    "host", ["https://a.example", "a.example/x", "a.example:8443", "a.example?x", "a b", "u@a.b"]
)
async def test_what_is_no_host_alone_is_refused(http: httpx2.AsyncClient, host: str) -> None:
    assert pointers(await http.post("/signing-secrets", json={"host": host})) == {"/host"}


async def test_a_namespace_has_ten_signing_secrets_at_most(http: httpx2.AsyncClient) -> None:
    for _ in range(10):
        assert (await http.post("/signing-secrets")).status_code == 201
    assert (await http.post("/signing-secrets")).status_code == 409


async def test_each_change_tells_the_replicas(http: httpx2.AsyncClient, dsn: str) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    conn = await asyncpg.connect(dsn, timeout=10)
    await conn.add_listener(CHANNEL, lambda *said: heard.put_nowait(said[3]))
    try:
        await http.put("/secrets/s", json={"value": "v"})
        await http.delete("/secrets/s")
        first, second = [(await http.post("/signing-secrets")).json()["id"] for _ in range(2)]
        await http.delete(f"/signing-secrets/{first}")
        await http.delete(f"/signing-secrets/{second}?after=1h")
        async with asyncio.timeout(10):
            assert [await heard.get() for _ in range(6)] == ["secrets default"] * 6
    finally:
        await conn.close()


async def test_the_warning_unsigned_goes_when_something_signs_for_the_host(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="a", target={"sign": True})

    async def warned() -> list[list[str]]:
        answers = [
            (await http.get("/jobs/a")).json(),
            (await http.get("/jobs")).json()["items"][0],
            (await http.put("/jobs/a", json=body(target={"sign": True}))).json(),
            (await http.patch("/jobs/a", json={})).json(),
            (await http.post("/jobs/a/resume")).json(),
        ]
        return [[one["code"] for one in answer["warnings"]] for answer in answers]

    assert [one["code"] for one in made["warnings"]] == ["unsigned"]
    assert await warned() == [["unsigned"]] * 5
    await http.post("/signing-secrets", json={"host": "other.example"})
    assert await warned() == [["unsigned"]] * 5
    await http.post("/signing-secrets", json={"host": "127.0.0.1"})
    assert await warned() == [[]] * 5


async def test_public_halves_of_key_pairs_are_read_by_anybody(http: httpx2.AsyncClient) -> None:
    await http.post("/signing-secrets")
    made = (await http.post("/signing-secrets", json={"type": "ed25519"})).json()
    assert made["secret"] is None
    answer = await http.get("/.well-known/webhook-keys")
    (key,) = answer.json()["keys"]
    assert (key["kid"], key["whpk"]) == (made["id"], made["public_key"])
    raw = base64.b64decode(made["public_key"].removeprefix("whpk_"))
    assert base64.urlsafe_b64decode(key["x"] + "=") == raw
    Ed25519PublicKey.from_public_bytes(raw)
    assert isinstance(jwt.PyJWK(key).key, Ed25519PublicKey)
    assert answer.headers["Cache-Control"] == "public, max-age=60"


async def test_the_first_job_with_a_token_makes_the_key_that_all_can_read(deps: Deps) -> None:
    app = build_app(msgspec.structs.replace(deps, public_url=PUBLIC_URL + "/"))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        assert (await http.get("/.well-known/jwks.json")).json() == {"keys": []}
        target = {"auth": {"type": "oidc", "audience": "a"}}
        for name in ("one", "two"):
            assert (await http.put(f"/jobs/{name}", json=body(target=target))).status_code == 201
        await create(http, target=target)
        (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
        assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
        told = (await http.get("/.well-known/openid-configuration")).json()
    assert told["issuer"] == PUBLIC_URL
    assert told["jwks_uri"] == f"{PUBLIC_URL}/.well-known/jwks.json"
    assert set(key) == {"kid", "kty", "alg", "use", "n", "e"}


async def test_without_a_public_address_there_is_no_issuer(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/.well-known/openid-configuration")
    assert answer.status_code == 404
    assert "SCHEDULER_PUBLIC_URL" in answer.json()["detail"]
