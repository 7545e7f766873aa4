"""Secrets in a job: sealed, masked everywhere, kept by the mask, refused without a key."""

from typing import Any

import httpx2
import msgspec
import pytest

from factories import MORNING_MS, Clock, Json, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store.pool import Pool
from sealing import KEY, OTHER_KEY, keep_secret, ring_of

CANARY = "canary-value-of-a-secret"
HEADERS = {"Authorization": f"Bearer {CANARY}", "X-Api-KEY": CANARY, "X-Plain": "plain"}
MASKED = {"Authorization": "***", "X-Api-KEY": "***", "X-Plain": "plain"}
BASIC = {"type": "basic", "username": "me", "password": CANARY}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


def caller(deps: Deps, **changes: Any) -> httpx2.AsyncClient:
    """Call the application as it is with other things lent to it."""
    app = build_app(msgspec.structs.replace(deps, **changes))
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8080")


async def stored(pool: Pool, name: str = "a") -> Json:
    text = await pool.fetchval("SELECT definition FROM jobs WHERE name = $1", name)
    found: Json = msgspec.json.decode(text)
    return found


def faults(answer: httpx2.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


async def test_no_answer_shows_a_secret_and_no_row_holds_it(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    sent = body(name="a", target={"headers": HEADERS})
    made = await http.post("/jobs", json=sent)
    answers = [
        made,
        await http.post("/jobs?dry_run=true", json=body(target={"headers": HEADERS})),
        await http.get("/jobs/a"),
        await http.get("/jobs/a?view=spec"),
        await http.get("/jobs"),
        await http.put("/jobs/a", json={**sent, "priority": 1}),
        await http.put("/jobs/a?dry_run=true", json={**sent, "priority": 2}),
        await http.patch("/jobs/a", json={"priority": 3}),
        await http.post("/jobs/a/pause"),
        await http.post("/jobs/a/resume"),
        await http.post("/jobs/a/trigger", json={"headers": {"X-My-Token": CANARY}}),
        await http.get("/runs"),
    ]
    for answer in answers:
        assert answer.is_success, answer.text
        assert CANARY not in answer.text
    assert made.json()["target"]["headers"] == MASKED
    rows = await pool.fetch(
        "SELECT row::text FROM jobs AS row UNION ALL SELECT r::text FROM runs r"
    )
    assert rows
    assert all(CANARY not in row[0] for row in rows)
    assert (await stored(pool))["target"]["headers"]["X-Plain"] == "plain"


async def test_what_the_spec_shows_put_back_changes_nothing(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": HEADERS, "auth": None})
    before = await stored(pool)
    spec = (await http.get("/jobs/a?view=spec")).json()
    answer = await http.put("/jobs/a", json=spec)
    assert (answer.json()["changed"], answer.json()["revision"]) == (False, 1)
    assert await stored(pool) == before


async def test_the_same_value_again_is_unchanged_and_not_sealed_anew(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    sent = body(target={"headers": {"X-My-Token": CANARY}})
    await http.put("/jobs/a", json=sent)
    before = await stored(pool)
    assert (await http.put("/jobs/a", json=sent)).json()["changed"] is False
    assert await stored(pool) == before
    other = body(target={"headers": {"X-My-Token": CANARY + "2"}})
    assert (await http.put("/jobs/a", json=other)).json()["changed"] is True
    assert await stored(pool) != before


@pytest.mark.parametrize(
    "auth", [BASIC, {"type": "bearer", "token": CANARY}], ids=["basic", "bearer"]
)
async def test_auth_is_masked_and_kept_by_its_mask(
    http: httpx2.AsyncClient, pool: Pool, auth: Json
) -> None:
    made = await create(http, name="a", target={"auth": auth})
    secret = "password" if auth["type"] == "basic" else "token"
    assert made["target"]["auth"] == {**auth, secret: "***"}
    before = await stored(pool)
    assert CANARY not in str(before)
    patched = await http.patch("/jobs/a", json={"priority": 5})
    assert patched.json()["target"]["auth"][secret] == "***"
    assert (await stored(pool))["target"] == before["target"]
    gone = await http.patch("/jobs/a", json={"target": {"auth": None}})
    assert gone.json()["target"]["auth"] is None


async def test_a_patch_of_one_secret_leaves_the_others(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": HEADERS})
    before = (await stored(pool))["target"]["headers"]
    await http.patch("/jobs/a", json={"target": {"headers": {"X-Api-KEY": "another"}}})
    after = (await stored(pool))["target"]["headers"]
    assert after["Authorization"] == before["Authorization"]
    assert after["X-Api-KEY"] != before["X-Api-KEY"]


@pytest.mark.parametrize("verb", ["POST", "PUT"])
async def test_a_mask_with_nothing_behind_it_is_refused(
    http: httpx2.AsyncClient, verb: str
) -> None:
    sent = body(
        target={
            "headers": {"x/y-Token": "v", "X-A-Token": "***"},
            "auth": {**BASIC, "password": "***"},
        }
    )
    answer = await http.request(verb, "/jobs" if verb == "POST" else "/jobs/new", json=sent)
    told = faults(answer)
    assert "nothing is stored" in told["/target/headers/X-A-Token"]
    assert "nothing is stored" in told["/target/auth/password"]


async def test_a_mask_keeps_the_value_whatever_the_case_of_the_name(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": {"X-A-Token": CANARY}})
    before = (await stored(pool))["target"]["headers"]["X-A-Token"]
    answer = await http.put("/jobs/a", json=body(target={"headers": {"x-a-token": "***"}}))
    assert answer.status_code == 200
    assert (await stored(pool))["target"]["headers"] == {"x-a-token": before}


async def test_without_a_key_secrets_are_refused_with_the_fix_and_all_else_works(
    deps: Deps,
) -> None:
    async with caller(deps, ring=None) as http:
        sent = body(name="a", target={"headers": HEADERS, "auth": None, "timeout": "1ms"})
        told = faults(await http.post("/jobs", json=sent))
        assert set(told) == {
            "/target/headers/Authorization",
            "/target/headers/X-Api-KEY",
            "/target/timeout",
        }
        assert "SCHEDULER_SECRET_KEYS" in told["/target/headers/Authorization"]
        assert "/target/auth/password" in faults(
            await http.post("/jobs", json=body(target={"auth": BASIC}))
        )
        assert (await http.post("/jobs", json=body(name="a"))).status_code == 201
        answer = await http.post("/jobs/a/trigger", json={"headers": {"X-A-Key": "v"}})
        assert set(faults(answer)) == {"/headers/X-A-Key"}
        assert set(faults(await http.put("/secrets/s", json={"value": "v"}))) == {"/value"}
        assert (await http.post("/signing-secrets")).status_code == 422


async def test_a_job_sealed_under_a_lost_key_can_still_be_shown_and_changed(
    http: httpx2.AsyncClient, deps: Deps
) -> None:
    await create(http, name="a", target={"headers": HEADERS})
    async with caller(deps, ring=ring_of(OTHER_KEY)) as later:
        assert (await later.get("/jobs/a")).json()["target"]["headers"] == MASKED
        kept = await later.patch("/jobs/a", json={"priority": 1})
        assert kept.status_code == 200
        new = await later.patch("/jobs/a", json={"target": {"headers": {"X-Api-KEY": CANARY}}})
        assert new.status_code == 200


async def test_a_value_is_sealed_under_the_newest_key_once_it_changes(
    http: httpx2.AsyncClient, deps: Deps, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": {"X-A-Key": CANARY}})
    ring = ring_of(OTHER_KEY, KEY)
    async with caller(deps, ring=ring) as later:
        same = await later.patch("/jobs/a", json={"target": {"headers": {"X-A-Key": CANARY}}})
        assert same.json()["revision"] == 1
        await later.patch("/jobs/a", json={"target": {"headers": {"X-A-Key": "other"}}})
    assert ring.is_newest((await stored(pool))["target"]["headers"]["X-A-Key"])


async def test_a_copy_of_a_sealed_value_is_a_value_like_any_other(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": {"X-A-Key": CANARY}})
    copied = (await stored(pool))["target"]["headers"]["X-A-Key"]
    await create(http, name="b", target={"headers": {"X-A-Key": copied, "X-B": copied}})
    taken = (await stored(pool, "b"))["target"]["headers"]
    assert taken["X-A-Key"] != copied
    assert taken["X-B"] == copied


async def test_masks_count_with_what_they_stand_for(http: httpx2.AsyncClient) -> None:
    await create(http, name="a", target={"headers": {"X-A-Key": "v" * 16_000}})
    headers = {"X-A-Key": "***", "X-B": "v" * 500}
    answer = await http.put("/jobs/a", json=body(target={"headers": headers}))
    assert "/target/headers" in faults(answer)
    answer = await http.post("/jobs/a/trigger", json={"headers": {"X-B": "v" * 500}})
    assert "/headers" in faults(answer)


BAD_AUTH: list[tuple[Json, str]] = [
    ({"headers": {"Authorization": "x"}, "auth": BASIC}, "/target/auth"),
    ({"auth": {**BASIC, "username": "a:b"}}, "/target/auth/username"),
    ({"auth": {**BASIC, "password": "a\nb"}}, "/target/auth/password"),
    ({"auth": {**BASIC, "password": "{{secret:x}}"}}, "/target/auth"),
    ({"auth": {"type": "bearer", "token": "a\r\nb"}}, "/target/auth/token"),
    ({"auth": {"type": "bearer", "token": ""}}, "/target/auth/token"),
    ({"auth": {"type": "bearer", "token": "x" * 9000}}, "/target/auth/token"),
    ({"auth": {"type": "bearer", "token": "{{secret:nope}}"}}, "/target/auth/token"),
    ({"auth": {"type": "oidc", "audience": "a"}}, "/target/auth"),
    ({"auth": {"type": "oidc", "audience": ""}}, "/target/auth/audience"),
    ({"auth": {"type": "digest"}}, "/target/auth/type"),
    ({"auth": {"type": "bearer"}}, "/target/auth/token"),
    ({"auth": {"type": "bearer", "token": "x", "audience": "y"}}, "/target/auth/audience"),
]


@pytest.mark.parametrize(("target", "pointer"), BAD_AUTH)
async def test_bad_credentials_are_refused_with_their_pointer(
    http: httpx2.AsyncClient, target: Json, pointer: str
) -> None:
    assert pointer in faults(await http.post("/jobs", json=body(target=target)))


async def test_a_trigger_s_mask_leaves_the_job_s_value_in_force(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": {"X-A-Key": CANARY}}, overlap="allow")
    sent = {"headers": {"x-a-key": "***", "X-B-Key": "given"}}
    answer = await http.post("/jobs/a/trigger", json=sent)
    assert answer.status_code == 202
    overrides = msgspec.json.decode(await pool.fetchval("SELECT overrides FROM runs"))
    assert list(overrides["headers"]) == ["X-B-Key"]
    assert overrides["headers"]["X-B-Key"].startswith("sealed:v1:")
    answer = await http.post("/jobs/a/trigger", json={"headers": {"X-C-Key": "***"}})
    assert set(faults(answer)) == {"/headers/X-C-Key"}


async def test_what_an_older_version_stored_in_the_open_is_shown_as_a_mask_and_sealed_when_touched(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", target={"headers": {"X-A-Key": "first"}})
    await pool.execute(
        """UPDATE jobs SET definition = jsonb_set(
        definition::jsonb, '{target,headers,X-A-Key}', to_jsonb($1::text))::json""",
        CANARY,
    )
    shown = (await http.get("/jobs/a")).json()
    assert shown["target"]["headers"] == {"X-A-Key": "***"}
    await http.patch("/jobs/a", json={"priority": 1})
    assert CANARY not in str(await stored(pool))


async def test_a_secret_named_by_a_stored_job_stays_good_though_it_is_gone(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await keep_secret(pool, "s", "v")
    target = {"url": "http://127.0.0.1/?k={{secret:s}}", "headers": {"X-A": "{{secret:s}}"}}
    await create(http, name="a", target=target)
    assert (await http.delete("/secrets/s")).status_code == 204
    assert (await http.patch("/jobs/a", json={"priority": 1})).status_code == 200
    assert set(faults(await http.post("/jobs", json=body(target=target)))) == {
        "/target/url",
        "/target/headers/X-A",
    }


async def test_an_answer_that_is_kept_for_repeats_holds_no_secret(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    sent = body(name="a", target={"headers": HEADERS, "auth": None})
    override = {"headers": {"X-Api-Key": CANARY}}
    for number, (path, asked) in enumerate(
        [
            ("/jobs", sent),
            ("/jobs/bulk", {"jobs": [{**sent, "name": "b"}]}),
            ("/jobs/a/trigger", override),
        ]
    ):
        key = {"Idempotency-Key": f"k{number}"}
        assert (await http.post(path, json=asked, headers=key)).status_code < 300
    kept = await pool.fetch("SELECT convert_from(body, 'UTF8') FROM idempotency_keys")
    assert len(kept) == 3
    assert not [row for row in kept if CANARY in row[0]]
