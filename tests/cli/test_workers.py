"""serve --workers: several replicas under one command, and none without it."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import psutil

from commands import COMMAND, SECONDS, Program, call, development, free_port, program


@asynccontextmanager
async def three(env: dict[str, str]) -> AsyncIterator[tuple[Program, list[psutil.Process]]]:
    """Serve as three replicas; yield the command and its replicas."""
    async with program(*COMMAND, "serve", "--workers", "3", env=env) as running:
        await running.line("API ")
        children = psutil.Process(running.pid).children()
        replicas = [child for child in children if "--lifeline" in child.cmdline()]
        assert len(replicas) == 3
        yield running, replicas


async def all_end(replicas: list[psutil.Process]) -> bool:
    """Wait for the end of the replicas, whoever reaps them."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, replicas, SECONDS)
    return not alive


async def test_they_share_the_port_and_the_database_and_greet_once(dsn: str) -> None:
    port = free_port()
    async with three(development(dsn, port)) as (running, replicas):
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            items = (await http.get("/replicas")).json()["items"]
        assert {item["pid"] for item in items} == {replica.pid for replica in replicas}
        assert [line for line in running.lines if "API " in line] == [
            await running.line("development profile, 3 replicas")
        ]
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
        assert running.output.count("service.stopped") == 3
        assert await all_end(replicas)


async def test_when_one_ends_without_being_told_all_end_with_a_code_that_is_not_0(dsn: str) -> None:
    async with three(development(dsn, free_port())) as (running, replicas):
        replicas[1].kill()
        assert await running.end() == 1
        assert running.output.count("service.stopped") == 2
        assert await all_end(replicas)


async def test_none_is_left_when_the_command_is_killed(dsn: str) -> None:
    async with three(development(dsn, free_port())) as (running, replicas):
        running.tell(signal.SIGKILL)
        assert await running.end() == -signal.SIGKILL
        assert running.output.count("service.stopped") == 3
        assert await all_end(replicas)


async def test_on_its_own_database_none_is_left_either_and_the_database_ends(
    tmp_path: Path,
) -> None:
    env = {
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_PORT": str(free_port()),
        "SCHEDULER_DATA_DIR": str(tmp_path),
    }
    async with three(env) as (running, replicas):
        assert (await running.line("API ")).endswith(f"data in {tmp_path}")
        server = int((tmp_path / "postgres/postgres/postmaster.pid").read_text().split()[0])
        family = [*replicas, psutil.Process(server)]
        running.tell(signal.SIGKILL)
        await running.end()
        assert await all_end(family)


async def test_ctrl_c_reaches_the_command_alone_and_ends_all_politely(dsn: str) -> None:
    async with three(development(dsn, free_port())) as (running, replicas):
        assert os.getsid(running.pid) not in {os.getsid(replica.pid) for replica in replicas}
        running.tell(signal.SIGINT)
        assert await running.end() == 0
        assert await all_end(replicas)


async def test_a_port_in_use_ends_the_command_with_a_code_that_is_not_0(dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, told = await call("serve", "--workers", "2", env=development(dsn, port))
    assert code == 2
    assert f"can not listen on 127.0.0.1:{port}" in told
    assert "API " not in told


async def test_several_replicas_need_a_port_with_a_number(dsn: str) -> None:
    code, told = await call("serve", "--workers", "2", env=development(dsn, 0))
    assert (code, told) == (
        2,
        "scheduler-svc: port 0 would give each replica a port of its own: name one",
    )
