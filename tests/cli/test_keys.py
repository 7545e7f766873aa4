"""keys: the first key is made at the command line, and production serves nobody without one."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from jwt.algorithms import OKPAlgorithm

from commands import COMMAND, call, development, free_port, program
from scheduler_svc.store.pool import Pool
from sealing import KEY_TEXT

BOOTSTRAP = "a-bootstrap-key-of-enough-length"


def production(dsn: str, port: int, **more: str) -> dict[str, str]:
    settings = {"profile": "production", "host": "127.0.0.1", "secret_keys": KEY_TEXT}
    return development(dsn, port, **settings, **more)


async def made(dsn: str, *switches: str) -> str:
    """Make a key, and return it as a script would read it."""
    code, told = await call(
        "keys",
        "create",
        "--name",
        "first",
        "--scopes",
        "admin",
        *switches,
        env={"DATABASE_URL": dsn},
    )
    assert code == 0, told
    return told.splitlines()[-1]


async def test_production_does_not_start_where_nobody_could_have_a_key(dsn: str) -> None:
    code, told = await call("serve", env=production(dsn, free_port()))
    assert code == 2
    assert "scheduler-svc keys create" in told
    assert "SCHEDULER_BOOTSTRAP_KEY" in told
    assert "Traceback" not in told


async def test_a_key_that_has_expired_is_none(dsn: str, pool: Pool) -> None:
    await made(dsn, "--expires", "1h")
    await pool.execute("UPDATE api_keys SET expires_at = now() - interval '1 s'")
    code, _ = await call("serve", env=production(dsn, free_port()))
    assert code == 2


async def test_with_the_first_key_production_serves_those_who_have_it(dsn: str) -> None:
    key = await made(dsn, "--namespace", "*")
    port = free_port()
    async with program(*COMMAND, "serve", env=production(dsn, port)) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/jobs")).status_code == 401
            answer = await http.get("/jobs", headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == 200
            assert (await http.get("/healthz")).status_code == 200
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
        assert key not in running.output


async def test_the_bootstrap_key_makes_the_first_key(dsn: str) -> None:
    port = free_port()
    env = production(dsn, port, bootstrap_key=BOOTSTRAP)
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            answer = await http.post(
                "/api-keys",
                json={"name": "first", "scopes": ["jobs:read"]},
                headers={"Authorization": f"Bearer {BOOTSTRAP}"},
            )
            assert answer.status_code == 201
            mine = {"Authorization": f"Bearer {answer.json()['key']}"}
            assert (await http.get("/jobs", headers=mine)).status_code == 200
        assert BOOTSTRAP not in running.output


async def test_with_an_issuer_of_tokens_production_serves_those_who_have_one(
    dsn: str, tmp_path: Path
) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    shown = {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "one"}
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [shown]}))
    claims: dict[str, Any] = {
        "iss": "https://id.test/",
        "aud": "scheduler",
        "sub": "a",
        "scope": "jobs:read",
    }
    claims["exp"] = int(time.time()) + 300
    token = jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": "one"})
    port = free_port()
    env = production(
        dsn,
        port,
        jwt_algorithm="EdDSA",
        jwt_issuer="https://id.test/",
        jwt_audience="scheduler",
        jwt_jwks=str(tmp_path / "keys.json"),
    )
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            answer = await http.get("/jobs", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200, answer.text
            assert (await http.get("/jobs")).status_code == 401
        assert token not in running.output


async def test_keys_are_listed_without_what_opens_and_revoked_by_their_beginning(
    dsn: str, pool: Pool
) -> None:
    key = await made(dsn, "--cidr", "10.0.0.0/8", "--expires", "90d")
    prefix = key[: key.rindex("_", 0, 12)]
    env = {"DATABASE_URL": dsn}
    code, told = await call("keys", "list", env=env)
    assert code == 0
    assert prefix in told
    assert key.removeprefix(prefix) not in told
    code, told = await call("keys", "revoke", prefix, env=env)
    assert code == 0, told
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == 0
    code, told = await call("keys", "revoke", prefix, env=env)
    assert (code, "there is no key" in told) == (1, True)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--scopes", "jobs"],
        ["--scopes", ""],
        ["--namespace", "A b"],
        ["--cidr", "10.0.0.1/8"],
        ["--expires", "soon"],
        ["--name", ""],
    ],
)
async def test_a_key_that_can_not_be_is_refused_with_code_2(wrong: list[str]) -> None:
    given = ["--name", "n", "--scopes", "admin", *wrong]
    code, told = await call("keys", "create", *given)
    assert code == 2
    assert wrong[0] in told
