"""Limits by key over replicas as processes, one of them killed; and a dead host beside others."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from fleet import Replica, all_ended, database, replica, schedule
from receiver import OK, Received, Receiver, Wire, receiving
from scheduler_svc.store.pool import Connection

PARALLEL, PER_SECOND = 3, 20
BUSY_MACHINE = 0.9
"""How much of a second a machine that does other things may press together, by sending late."""

pytestmark = pytest.mark.timeout(120)


class Busy:
    """A target that works for a while on each call, and counts how many it has at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.open = 0
        self.most = 0

    async def behave(self, wire: Wire, _: Received) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(self.seconds)
        self.open -= 1
        await wire.send(OK)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


async def _limit(of: Replica, **limits: float) -> None:
    async with httpx2.AsyncClient() as http:
        answer = await http.put(of.url("/concurrency-keys/k"), json=limits)
        assert answer.status_code == 201, answer.text


@pytest.mark.slow
async def test_calls_at_once_are_never_more_than_allowed_though_a_replica_is_killed(
    dsn: str, receiver: Receiver, ledger: Connection
) -> None:
    busy = Busy(0.05)
    url = receiver.on("/busy", busy.behave)
    async with AsyncExitStack() as stack:
        victim, *others = [
            await stack.enter_async_context(replica(dsn, lease="2s", heartbeat="500ms"))
            for _ in range(3)
        ]
        await _limit(others[0], max_parallel=PARALLEL)
        target = {"url": url, "concurrency_key": "k"}
        await schedule(ledger, url, jobs=90, begin_seconds=1.5, over_seconds=0, target=target)
        await all_ended(ledger, jobs=30, seconds=30)
        victim.program.tell(signal.SIGKILL)
        await all_ended(ledger, jobs=90, seconds=40)
    assert busy.most == PARALLEL
    assert await ledger.fetchval("SELECT count(*) FROM runs WHERE status = 'succeeded'") == 90
    told = await ledger.fetch("SELECT DISTINCT deferral ->> 'reason' AS reason FROM runs")
    assert {row["reason"] for row in told} <= {"concurrency", None}


@pytest.mark.slow
async def test_calls_a_second_are_laid_out_over_all_replicas(
    dsn: str, receiver: Receiver, ledger: Connection
) -> None:
    async with replica(dsn) as one, replica(dsn), replica(dsn):
        await _limit(one, max_per_second=PER_SECOND)
        target = {"url": receiver.url("/"), "concurrency_key": "k"}
        await schedule(
            ledger, receiver.url("/"), jobs=60, begin_seconds=1.5, over_seconds=0, target=target
        )
        await all_ended(ledger, jobs=60, seconds=30)
    at = sorted(one.at for one in receiver.requests)
    assert len(at) == 60
    assert at[-1] - at[0] > 59 / PER_SECOND * BUSY_MACHINE
    for first, beyond in zip(at, at[PER_SECOND:], strict=False):
        assert beyond - first > BUSY_MACHINE


@pytest.mark.slow
async def test_five_hundred_runs_of_a_host_that_never_answers_delay_no_other(
    dsn: str, receiver: Receiver, ledger: Connection
) -> None:
    with socket.create_server(("127.0.0.2", 0), backlog=1024) as dead:
        url = f"http://127.0.0.2:{dead.getsockname()[1]}/"
        async with replica(dsn, slots="100"):
            await schedule(ledger, url, jobs=500, begin_seconds=2.0, over_seconds=0)
            await schedule(ledger, receiver.url("/"), jobs=50, begin_seconds=2.0, over_seconds=1.0)
            async with asyncio.timeout(30):
                await receiver.wait_for(50)
            waiting = await ledger.fetchval(
                "SELECT count(*) FROM runs WHERE deferral ->> 'reason' = 'host_share'"
            )
            held = await ledger.fetchval("SELECT count(*) FROM runs WHERE status = 'running'")
    assert waiting >= 450
    assert held <= 50
