"""audit verify: exit codes, what it prints, and what commands themselves leave in the log."""

import json
import signal
from pathlib import Path

import httpx2

from auditing import actions, log, meddle, pending, seal_pending
from commands import COMMAND, call, development, free_port, program
from factories import body
from scheduler_svc.domain.audit_chain import SealKey, seal_key
from scheduler_svc.store.audit_verify import verify
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.vault import key_id
from sealing import KEY, KEY_TEXT, OTHER_KEY_TEXT

KEYS: tuple[SealKey, ...] = (seal_key(key_id(KEY), KEY),)


async def make_key(dsn: str, name: str = "first") -> None:
    code, told = await call(
        *("keys", "create", "--name", name, "--scopes", "admin"), env={"DATABASE_URL": dsn}
    )
    assert code == 0, told


async def test_what_the_command_line_does_to_keys_is_written_down(dsn: str, pool: Pool) -> None:
    await make_key(dsn)
    (made,) = await pending(pool)
    assert (made["action"], made["actor_kind"]) == ("api_key.created", "cli")
    assert "@" in made["actor_name"]
    assert "hash" not in json.loads(made["after"])
    code, _ = await call("keys", "revoke", made["resource_id"], env={"DATABASE_URL": dsn})
    assert code == 0
    assert await actions(pool) == ["api_key.created", "api_key.revoked"]


async def test_a_log_in_order_is_told_and_a_broken_one_is_named(dsn: str, pool: Pool) -> None:
    env = {"DATABASE_URL": dsn, "SCHEDULER_SECRET_KEYS": KEY_TEXT}
    assert await call("audit", "verify", env=env) == (0, "the audit log is empty")
    for name in ("a", "b", "c"):
        await make_key(dsn, name)
    await seal_pending(pool, KEYS)
    code, told = await call("audit", "verify", env=env)
    last = (await log(pool))[-1]["hash"].hex()
    assert (code, told) == (0, f"3 entries are in order, 1 to 3\nthe end is 3:{last}")
    code, told = await call("audit", "verify", "--expect", f"3:{last}", env=env)
    assert code == 0
    code, told = await call("audit", "verify", "--json", env=env)
    assert code == 0
    assert json.loads(told)["ok"] is True
    await meddle(pool, "UPDATE audit_log SET actor_name = 'nobody' WHERE seq = 2")
    code, told = await call("audit", "verify", env=env)
    assert code == 1
    assert told.startswith("changed at 2: ")
    code, told = await call("audit", "verify", "--json", env=env)
    found = json.loads(told)
    assert (code, found["ok"], found["broken"]["fault"], found["broken"]["seq"]) == (
        *(1, False, "changed", 2),
    )


async def test_without_keys_it_says_that_hashes_alone_were_judged(dsn: str, pool: Pool) -> None:
    await make_key(dsn)
    await seal_pending(pool, KEYS)
    code, told = await call("audit", "verify", env={"DATABASE_URL": dsn})
    assert code == 0
    assert "hashes alone were judged" in told
    env = {"DATABASE_URL": dsn, "SCHEDULER_SECRET_KEYS": OTHER_KEY_TEXT}
    code, told = await call("audit", "verify", env=env)
    assert code == 1
    assert KEYS[0].id in told
    code, told = await call("audit", "verify", "--without-old-keys", env=env)
    assert code == 0
    assert "1 codes were not judged" in told


async def test_a_wrong_place_is_a_wrong_call(dsn: str) -> None:
    code, told = await call("audit", "verify", "--expect", "3", env={"DATABASE_URL": dsn})
    assert code == 2
    assert "42:HASH" in told


async def test_a_served_change_is_sealed_within_seconds_and_verifies(
    dsn: str, pool: Pool, tmp_path: Path
) -> None:
    port = free_port()
    env = development(dsn, port, data_dir=str(tmp_path), secret_keys=KEY_TEXT)
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.post("/jobs", json=body(name="j"))).status_code == 201
        await running.line("audit.sealed")
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
    found = await verify(pool, KEYS)
    assert (found.broken, found.entries) == (None, 1)
