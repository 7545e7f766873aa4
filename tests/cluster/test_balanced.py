"""Replicas behind a load balancer: an even share, and no request lost while each is restarted.

The configurations are those of deploy/, with the addresses of the test. BALANCED_SECONDS and
BALANCED_RATE give the long form.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import httpx2
import pytest

from commands import COMMAND, Program, development, free_port, program
from fleet import all_ended, database, judged, schedule
from sealing import KEY_TEXT
from sink import sinking

DEPLOY = Path(__file__).parents[2] / "deploy"
SECONDS = float(os.environ.get("BALANCED_SECONDS", "9"))
RATE = int(os.environ.get("BALANCED_RATE", "150"))
CONNECTIONS = int(os.environ.get("BALANCED_CONNECTIONS", "16"))
REPLICAS = 3
KEY = "a-bootstrap-key-of-this-test"
PATHS = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
NGINX = shutil.which("nginx", path=PATHS)
HAPROXY = shutil.which("haproxy", path=PATHS)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + SECONDS * 4)]


@asynccontextmanager
async def one(dsn: str, port: int) -> AsyncIterator[Program]:
    """Run a replica as it is run behind a load balancer."""
    env = {
        "DATABASE_URL": dsn,
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_PROFILE": "production",
        "SCHEDULER_BOOTSTRAP_KEY": KEY,
        "SCHEDULER_SECRET_KEYS": KEY_TEXT,
        "SCHEDULER_TRUSTED_PROXIES": "127.0.0.1/32",
        "SCHEDULER_LOG_LEVEL": "warning",
        "SCHEDULER_EGRESS_ALLOW": "127.0.0.0/8",
        "SCHEDULER_LINGER": "3s",
    }
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        yield running


def nginx(folder: Path, port: int, backends: list[int]) -> tuple[str, ...]:
    text = (DEPLOY / "nginx" / "scheduler.conf").read_text()
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    for number, backend in enumerate(backends, 1):
        text = text.replace(f"scheduler-{number}:8080", f"127.0.0.1:{backend}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        f" events {{ worker_connections 1024; }} http {{ access_log off; {temporary}\n{text} }}"
    )
    assert NGINX is not None
    return (NGINX, "-p", str(folder), "-c", f"{folder}/nginx.conf", "-e", "stderr")


def haproxy(folder: Path, port: int, backends: list[int]) -> tuple[str, ...]:
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    text = text.replace("bind :8080", f"bind 127.0.0.1:{port}")
    for number, backend in enumerate(backends, 1):
        text = text.replace(f" scheduler-{number}:8080", f" 127.0.0.1:{backend}")
    (folder / "haproxy.cfg").write_text(text)
    assert HAPROXY is not None
    return (HAPROXY, "-db", "-f", f"{folder}/haproxy.cfg")


class Answers:
    """What the callers were told, and by whom."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.statuses: Counter[int] = Counter()


async def call(base: str, answers: Answers, stop: asyncio.Event) -> None:
    """Ask, and create a job now and then, on one connection, at an even pace."""
    key = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=base, headers=key, timeout=10) as http:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                if number % 20:
                    answer = await http.get("/jobs?limit=1")
                else:
                    target = {"url": "http://127.0.0.1:1/"}
                    answer = await http.post(
                        "/jobs", json={"schedule": {"every": "1h"}, "target": target}
                    )
                answers.statuses[answer.status_code] += 1
                if answer.status_code >= 400:
                    answers.failed.append(answer.text)
            except httpx2.HTTPError as error:
                answers.failed.append(repr(error))
            await asyncio.sleep(CONNECTIONS / RATE)  # the pace of the load


async def listens(port: int, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return


async def ready(port: int, seconds: float = 20) -> None:
    async with httpx2.AsyncClient() as http, asyncio.timeout(seconds):
        # The first pass has no event by default.
        while (  # noqa: ASYNC110
            await http.get(f"http://127.0.0.1:{port}/readyz")
        ).status_code != 200:
            await asyncio.sleep(0.05)


balancers = pytest.mark.parametrize(
    "balancer",
    [
        pytest.param(nginx, marks=pytest.mark.skipif(NGINX is None, reason="no nginx here")),
        pytest.param(haproxy, marks=pytest.mark.skipif(HAPROXY is None, reason="no HAProxy here")),
    ],
    ids=["nginx", "haproxy"],
)


@balancers
async def test_no_request_and_no_fire_is_lost_while_each_replica_is_restarted(
    balancer: Callable[[Path, int, list[int]], tuple[str, ...]], dsn: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    ports = [free_port() for _ in range(REPLICAS)]
    port = free_port()
    command = balancer(tmp_path, port, ports)
    answers, stop = Answers(), asyncio.Event()
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        ledger = await stack.enter_async_context(database(dsn))
        fleet = [AsyncExitStack() for _ in ports]
        running = [
            await each.enter_async_context(one(dsn, at))
            for each, at in zip(fleet, ports, strict=True)
        ]
        for each in fleet:
            stack.push_async_exit(each)
        await stack.enter_async_context(program(*command))
        await listens(port)
        jobs = int(20 * SECONDS)
        await schedule(ledger, sink.url(), jobs=jobs, begin_seconds=1, over_seconds=SECONDS)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(call(f"http://127.0.0.1:{port}", answers, stop))
            for number, at in enumerate(ports):
                await asyncio.sleep(SECONDS / REPLICAS / 2)
                running[number].tell(signal.SIGTERM)
                assert await running[number].end() == 0
                await fleet[number].aclose()
                again = await fleet[number].enter_async_context(one(dsn, at))
                running[number] = again
            await asyncio.sleep(SECONDS / REPLICAS / 2)
            stop.set()
        print(f"{sum(answers.statuses.values())} requests: {dict(answers.statuses)}")
        assert answers.failed == []
        assert answers.statuses[201] > 0
        await ledger.execute("DELETE FROM jobs WHERE definition -> 'schedule' ->> 'every' = '1h'")
        await all_ended(ledger, jobs=jobs, seconds=20)
        verdict = await judged(ledger, await sink.taken())
        print(verdict)
        assert (verdict.lost, verdict.doubled, verdict.failed, verdict.early) == (0, 0, 0, 0)


@balancers
async def test_the_service_learns_who_asks_and_not_who_the_caller_says_he_is(
    balancer: Callable[[Path, int, list[int]], tuple[str, ...]], dsn: str, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    port, behind = free_port(), free_port()
    caller = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
    env = development(dsn, behind, log_format="json", trusted_proxies="127.0.0.1/32")
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(program(*COMMAND, "serve", env=env))
        await running.line("API ")
        # Ready before HAProxy asks: it lets requests pass until its first look has failed.
        await ready(behind)
        await stack.enter_async_context(program(*balancer(tmp_path, port, [behind] * REPLICAS)))
        http = await stack.enter_async_context(
            httpx2.AsyncClient(transport=caller, base_url=f"http://127.0.0.1:{port}")
        )
        await listens(port)
        said = {"X-Forwarded-For": "192.0.2.9", "X-Request-ID": "who-asks"}
        async with asyncio.timeout(20):
            # HAProxy answers 503 until it has asked for readiness, and tells nobody when.
            while (await http.get("/jobs", headers=said)).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        line = json.loads(await running.line('"request_id":"who-asks"'))
        assert (line["peer"], line["status"]) == ("127.0.0.2", 200)
        assert (await http.get("/metrics")).status_code == 404
        # Targets report by the same way.
        reported = await http.post(f"/runs/{UUID(int=1)}/complete", json={"status": "succeeded"})
        assert reported.json()["code"] == "unauthenticated", reported.text
