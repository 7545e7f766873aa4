"""serve: one replica from start to stop, and the words with which it refuses to start."""

import signal
import socket
from pathlib import Path

import httpx2
import pytest

from commands import COMMAND, call, development, free_port, program
from processes import ends_within
from sealing import KEY_TEXT

LOOPBACK = "http://127.0.0.1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_and_leaves_with_0_when_told_to_stop(
    dsn: str, number: signal.Signals
) -> None:
    port = free_port()
    async with program(*COMMAND, "serve", env=development(dsn, port)) as running:
        told = await running.line("API ")
        for part in (f"{LOOPBACK}:{port}/jobs", f"{LOOPBACK}:{port}/docs", "development profile"):
            assert part in told
        running.tell(number)
        assert await running.end() == 0
        assert "Traceback" not in running.output


async def test_it_serves_on_its_own_database_which_ends_with_it(tmp_path: Path) -> None:
    env = {
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_PORT": "0",
        "SCHEDULER_DATA_DIR": str(tmp_path),
    }
    async with program(*COMMAND, "serve", env=env) as running:
        told = await running.line("API ")
        assert told.endswith(f"data in {tmp_path}")
        server = int((tmp_path / "postgres/postgres/postmaster.pid").read_text().split()[0])
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
    assert ends_within(server, 10)


async def test_settings_that_can_not_be_used_are_all_told_with_code_2() -> None:
    env = {"SCHEDULER_PROFILE": "development", "SCHEDULER_PORT": "x", "SCHEDULER_SLOTS": "0"}
    code, told = await call("serve", env=env)
    assert code == 2
    assert "SCHEDULER_PORT" in told
    assert "SCHEDULER_SLOTS" in told


@pytest.mark.parametrize(("switch", "value"), [("--workers", "0"), ("--role", "boss")])
async def test_a_switch_is_judged_like_its_variable(switch: str, value: str) -> None:
    code, told = await call(
        "serve", switch, value, env={"SCHEDULER_PROFILE": "development", "SCHEDULER_ROLE": "api"}
    )
    assert code == 2
    assert f"SCHEDULER_{switch[2:].upper()}: '{value}' is not" in told


async def test_a_switch_wins_over_its_variable(dsn: str) -> None:
    port = free_port()
    env = development(dsn, port, role="engine")
    async with program(*COMMAND, "serve", "--role", "api", env=env) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"{LOOPBACK}:{port}") as http:
            (replica,) = (await http.get("/replicas")).json()["items"]
            metrics = await http.get("/metrics")
    assert replica["role"] == "api"
    assert metrics.status_code == 200
    assert 'scheduler_replicas{role="api"} 1' in metrics.text


async def test_a_port_in_use_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {
            "SCHEDULER_PROFILE": "development",
            "SCHEDULER_PORT": str(port),
            "SCHEDULER_DATA_DIR": str(tmp_path / "data"),
        }
        code, told = await call("serve", env=env)
    said = f"scheduler-svc: can not listen on 127.0.0.1:{port}: Address already in use"
    assert (code, told) == (2, said)
    assert not (tmp_path / "data").exists()


async def test_in_production_a_database_that_is_not_migrated_is_refused(
    empty_database: str,
) -> None:
    settings = {"profile": "production", "host": "127.0.0.1", "secret_keys": KEY_TEXT}
    env = development(empty_database, free_port(), **settings)
    code, told = await call("serve", env=env)
    assert code == 2
    assert "run migrate" in told
