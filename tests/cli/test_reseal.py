"""reseal: every secret goes under the newest key, whatever is killed in between."""

import asyncio
import contextlib
import os
import signal
import time
from uuid import UUID

import httpx2
import msgspec
from starlette.types import ASGIApp

from commands import COMMAND, call, free_port, program
from factories import MORNING_MS, URL, body, waiting_run
from scheduler_svc.api.app import build_app
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.runs import AlertCall, Overrides
from scheduler_svc.domain.secrecy import place_of_target, secrets_of
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.vault import KeyRing
from sealing import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, PUBLIC_URL, ring_of
from serving import Clock, Records, lend

OLD, BOTH = ring_of(KEY), ring_of(OTHER_KEY, KEY)
KINDS = [
    "named secrets",
    "signing secrets",
    "identity keys",
    "secrets of jobs",
    "secrets of triggers",
]


def environment(dsn: str, *keys: str) -> dict[str, str]:
    return {"DATABASE_URL": dsn, "SCHEDULER_SECRET_KEYS": ",".join(keys)}


def application(pool: Pool, ring: KeyRing) -> ASGIApp:
    deps = lend(pool, Clock(), Records())
    return build_app(msgspec.structs.replace(deps, ring=ring, public_url=PUBLIC_URL))


def caller(pool: Pool, ring: KeyRing) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(application(pool, ring))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


async def keep_one_of_each(http: httpx2.AsyncClient) -> None:
    """Have a secret at each place that takes one: seven values in all."""
    target = {
        "headers": {"X-A-Key": "a"},
        "auth": {"type": "basic", "username": "u", "password": "p"},
    }
    await http.put("/secrets/s", json={"value": "v"})
    await http.post("/signing-secrets")
    await http.post("/signing-secrets", json={"type": "ed25519"})
    await http.put("/jobs/a", json=body(target=target))
    await http.put("/jobs/b", json=body(target={"auth": {"type": "oidc", "audience": "x"}}))
    await http.put("/jobs/c", json=body())
    answer = await http.post("/jobs/a/trigger", json={"headers": {"X-B-Token": "t"}})
    assert answer.status_code == 202


async def everything(pool: Pool) -> list[str]:
    """Return each sealed value of the database."""
    rows = await pool.fetch(
        r"""SELECT (regexp_matches(t, 'sealed:v1:[0-9a-f]{8}:[A-Za-z0-9_-]+', 'g'))[1] FROM (
            SELECT s::text FROM secrets AS s UNION ALL SELECT s::text FROM signing_secrets AS s
            UNION ALL SELECT k::text FROM identity_keys AS k UNION ALL SELECT j::text FROM jobs AS j
            UNION ALL SELECT r::text FROM runs AS r) AS x (t)"""
    )
    return [row[0] for row in rows]


async def test_it_seals_everything_anew_and_then_has_nothing_to_do(dsn: str, pool: Pool) -> None:
    async with caller(pool, OLD) as http:
        await keep_one_of_each(http)
        tag = (await http.get("/jobs/a")).headers["ETag"]
    before = await everything(pool)
    assert len(before) == 7
    env = environment(dsn, OTHER_KEY_TEXT, KEY_TEXT)
    code, told = await call("reseal", env=env)
    assert code == 0, told
    assert told.splitlines() == [
        *[
            f"{kind}: {n} sealed anew, {n} in all"
            for kind, n in zip(KINDS, (1, 2, 1, 2, 1), strict=True)
        ],
        f"everything is sealed with the key {BOTH.newest}",
    ]
    after = await everything(pool)
    assert len(after) == 7
    assert all(BOTH.is_newest(value) for value in after)
    code, told = await call("reseal", env=env)
    assert (code, told.count(" 0 sealed anew")) == (0, 5)
    assert await everything(pool) == after
    async with caller(pool, ring_of(OTHER_KEY)) as http:
        same = await http.put("/jobs/a", json=(await http.get("/jobs/a?view=spec")).json())
        assert same.json()["changed"] is False
        assert same.headers["ETag"] == tag


async def test_an_alert_on_its_way_stays_as_it_is(dsn: str, pool: Pool) -> None:
    alert = AlertCall(url=URL, namespace="default", job_name=None, event="{}")
    run = await waiting_run(
        pool, UUID(int=1), at_ms=MORNING_MS, trigger="alert", overrides=Overrides(alert=alert)
    )
    read = "SELECT overrides::text FROM runs WHERE id = $1"
    before = await pool.fetchval(read, run)
    code, told = await call("reseal", env=environment(dsn, OTHER_KEY_TEXT))
    assert (code, await pool.fetchval(read, run)) == (0, before), told


async def test_what_an_older_version_stored_in_the_open_is_sealed_too(dsn: str, pool: Pool) -> None:
    async with caller(pool, OLD) as http:
        await http.put("/jobs/a", json=body(target={"headers": {"X-A-Key": "a"}}))
    await pool.execute(
        """UPDATE jobs SET definition = jsonb_set(
        definition::jsonb, '{target,headers,X-A-Key}', '"canary"')::json"""
    )
    code, _ = await call("reseal", env=environment(dsn, KEY_TEXT))
    assert code == 0
    text = await pool.fetchval("SELECT definition FROM jobs")
    assert "canary" not in text
    assert len(await everything(pool)) == 1


async def test_what_no_key_opens_is_counted_and_left(dsn: str, pool: Pool) -> None:
    async with caller(pool, OLD) as http:
        await keep_one_of_each(http)
    before = await everything(pool)
    code, told = await call("reseal", env=environment(dsn, OTHER_KEY_TEXT))
    assert code == 1
    assert "7 can not be opened: their key is not in SCHEDULER_SECRET_KEYS" in told
    assert await everything(pool) == before


async def test_it_says_what_it_lacks(dsn: str) -> None:
    code, told = await call("reseal", env={"DATABASE_URL": dsn})
    assert (code, told.count("SCHEDULER_SECRET_KEYS")) == (2, 1)
    address = f"postgresql://me@127.0.0.1:{free_port()}/nowhere"
    for command in ("reseal", "rotate-identity-key"):
        code, told = await call(command, env=environment(address, KEY_TEXT))
        assert code == 1
        assert told.startswith("scheduler-svc: the database does not answer")


async def test_killed_in_the_middle_nothing_is_lost_and_the_next_one_ends_it(
    dsn: str, pool: Pool
) -> None:
    async with caller(pool, OLD) as http:
        await http.put("/jobs/a", json=body(target={"headers": {"X-A-Key": "a"}}))
    await pool.execute(COPIES, 4000)
    await _sealed_each(pool)
    env = environment(dsn, OTHER_KEY_TEXT, KEY_TEXT)
    async with program(*COMMAND, "reseal", env=env) as running:
        deadline = time.monotonic() + 30
        while not await _count(pool) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.002)  # rows that another process writes: nothing tells
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
        await running.end()
    done = await _count(pool)
    assert 0 < done < 4001, "killed before it began, or after it had ended"
    await _each_opens(pool, BOTH)
    code, told = await call("reseal", env=env)
    assert code == 0
    assert f"secrets of jobs: {4001 - done} sealed anew, 4001 in all" in told
    await _each_opens(pool, ring_of(OTHER_KEY))


async def test_another_identity_key_signs_and_the_old_one_stays_published(
    dsn: str, pool: Pool
) -> None:
    async with caller(pool, OLD) as http:
        await http.put("/jobs/b", json=body(target={"auth": {"type": "oidc", "audience": "x"}}))
        (old,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
        code, told = await call("rotate-identity-key", env=environment(dsn, KEY_TEXT))
        assert code == 0, told
        new, kept = (await http.get("/.well-known/jwks.json")).json()["keys"]
        assert kept == old
        assert new["kid"] in told
        await pool.execute(
            "UPDATE identity_keys SET retired_at = now() - interval '2 hours' WHERE id = $1",
            old["kid"],
        )
        assert (await http.get("/.well-known/jwks.json")).json()["keys"] == [new]


COPIES = """
    WITH made AS (
        INSERT INTO jobs SELECT gen_random_uuid(), namespace, NULL, '', labels, definition, state,
            NULL, 1, created_at, updated_at FROM jobs, generate_series(1, $1) RETURNING id
    )
    INSERT INTO job_timers SELECT id, NULL, NULL, 1 FROM made
"""


async def _sealed_each(pool: Pool) -> None:
    """Seal the secret of each copy for its own place."""
    rows = await pool.fetch("SELECT id, definition FROM jobs WHERE name IS NULL")
    definition = msgspec.json.decode(rows[0]["definition"])
    texts = []
    for row in rows:
        place = place_of_target("default", row["id"])("headers/x-a-key")
        definition["target"]["headers"]["X-A-Key"] = OLD.seal("value", place)
        texts.append((row["id"], msgspec.json.encode(definition).decode()))
    await pool.executemany("UPDATE jobs SET definition = $2::json WHERE id = $1", texts)


async def _count(pool: Pool) -> int:
    found: int = await pool.fetchval(
        "SELECT count(*) FROM jobs WHERE definition::text LIKE '%' || $1 || '%'",
        f"sealed:v1:{BOTH.newest}:",
    )
    return found


async def _each_opens(pool: Pool, ring: KeyRing) -> None:
    for row in await pool.fetch("SELECT id, definition FROM jobs"):
        definition = msgspec.json.decode(row["definition"], type=Definition)
        ((where, value),) = secrets_of(definition.target)
        assert ring.open(value, place_of_target("default", row["id"])(where))
