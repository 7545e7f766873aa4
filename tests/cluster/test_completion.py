"""Callbacks, cancels and alerts over two real replicas: any of them may be told, none is needed."""

import asyncio
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from fleet import Replica, database, replica
from receiver import Received, Receiver, Wire, answer, held, receiving
from scheduler_svc.store.pool import Connection

SETTINGS = {
    "secret_keys": b64encode(b"k" * 32).decode(),
    "lease": "3s",
    "heartbeat": "500ms",
    "log_level": "error",
}
CALLBACK: dict[str, Any] = {"completion": "callback", "completion_timeout": "1h"}
ONCE = {"max_attempts": 1}
FAR = {"at": "2190-01-01T00:00:00Z"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
async def target() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


@pytest.fixture
async def two(dsn: str) -> AsyncIterator[tuple[Replica, Replica]]:
    async with AsyncExitStack() as stack:
        starting = [stack.enter_async_context(replica(dsn, **SETTINGS)) for _ in range(2)]
        one, other = await asyncio.gather(*starting)
        yield one, other


async def call(of: Replica, method: str, path: str, **how: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=of.url(""), timeout=20) as http:
        return await http.request(method, path, **how)


async def triggered(of: Replica, receiver: Receiver, **changes: Any) -> str:
    """Make a job and trigger it; return the run."""
    body = {
        "schedule": FAR,
        "retry": ONCE,
        "target": {"url": receiver.url(), **CALLBACK},
        **changes,
    }
    made = await call(of, "POST", "/jobs", json=body)
    assert made.status_code == 201, made.text
    run = await call(of, "POST", f"/jobs/{made.json()['id']}/trigger")
    found: str = run.json()["id"]
    return found


def parted(two: tuple[Replica, Replica], request: Received) -> tuple[Replica, Replica]:
    """Return the replica that sent a request, and the other one."""
    port = urlsplit(request.headers["scheduler-completion-url"]).port
    return two if two[0].port == port else (two[1], two[0])


async def say(to: Replica, request: Received, verb: str, body: Any = None) -> httpx2.Response:
    """Report to a replica of the target's choice."""
    path = urlsplit(request.headers["scheduler-completion-url"]).path
    return await call(
        to,
        "POST",
        path.replace("/complete", f"/{verb}"),
        headers={"Authorization": f"Bearer {request.headers['scheduler-completion-token']}"},
        json=body,
    )


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait for what other processes do: there is no event of it."""
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def status(of: Replica, run: str) -> tuple[str, str | None]:
    seen = (await call(of, "GET", f"/runs/{run}")).json()
    return seen["status"], seen["reason"]


async def awaiting(of: Replica, run: str) -> bool:
    seen = (await call(of, "GET", f"/runs/{run}")).json()
    return seen["status"] == "running" and seen["completion"] is not None


async def test_a_report_to_the_other_replica_ends_the_run(
    two: tuple[Replica, Replica], target: Receiver
) -> None:
    run = await triggered(two[0], target)
    (request,) = await target.wait_for(1)
    sender, other = parted(two, request)
    await until(lambda: awaiting(other, run))
    said = await say(other, request, "complete", {"status": "succeeded", "detail": "done"})
    assert (said.status_code, said.json()["status"]) == (200, "succeeded")
    assert await status(sender, run) == ("succeeded", None)
    assert (await say(sender, request, "complete", {"status": "failed"})).status_code == 409


async def test_a_report_before_the_202_counts_wherever_it_is_said(
    two: tuple[Replica, Replica], target: Receiver
) -> None:
    async def quick(wire: Wire, request: Received) -> None:
        _, other = parted(two, request)
        early = await say(other, request, "complete", {"status": "failed", "detail": "no"})
        assert (early.status_code, early.json()["status"]) == (200, "running")
        await answer(202)(wire, request)

    target.on("/", quick)
    run = await triggered(two[0], target)
    await target.wait_for(1)

    async def ended() -> bool:
        return await status(two[1], run) == ("failed", "completion")

    await until(ended)


async def test_a_replica_that_is_killed_while_its_run_awaits_costs_nothing(
    two: tuple[Replica, Replica], target: Receiver, ledger: Connection
) -> None:
    run = await triggered(two[0], target)
    (request,) = await target.wait_for(1)
    sender, other = parted(two, request)
    await until(lambda: awaiting(other, run))
    sender.program.tell(signal.SIGKILL)
    await until(lambda: _alive(ledger, 1))
    assert await awaiting(other, run)
    assert (await say(other, request, "heartbeat")).status_code == 200
    said = await say(other, request, "complete", {"status": "succeeded"})
    assert said.json()["status"] == "succeeded"
    row = await ledger.fetchrow("SELECT lost_count, attempt_count FROM runs")
    assert row is not None
    assert tuple(row) == (0, 1)
    assert len(target.requests) == 1


async def test_the_time_out_is_kept_within_two_seconds_and_a_heartbeat_moves_it(
    two: tuple[Replica, Replica], target: Receiver, ledger: Connection
) -> None:
    run = await triggered(two[0], target, target=_short(target, "2s"))
    (request,) = await target.wait_for(1)
    await until(lambda: awaiting(two[1], run))
    await asyncio.sleep(1.2)  # the target works, and says so before its time is out
    beaten = await say(two[1], request, "heartbeat")
    assert beaten.status_code == 200

    async def ended() -> bool:
        return await status(two[1], run) == ("failed", "completion_timeout")

    await until(ended)
    late, lasted = await ledger.fetchrow(  # type: ignore[misc]
        "SELECT extract(epoch FROM finished_at - completion_until)::float8,"
        " extract(epoch FROM finished_at - started_at)::float8 FROM runs"
    )
    print(f"ended {late:.3f} s after its time was out, {lasted:.3f} s after it was sent")
    assert 0 <= late < 2
    assert lasted >= 3.2


async def test_occurrences_are_skipped_while_a_run_awaits(
    two: tuple[Replica, Replica], target: Receiver, ledger: Connection
) -> None:
    body = {"schedule": {"every": "1s"}, "target": {"url": target.url(), **CALLBACK}}
    assert (await call(two[0], "POST", "/jobs", json=body)).status_code == 201

    async def skipped() -> bool:
        count = "SELECT count(*) FROM runs WHERE status = 'skipped' AND reason = 'overlap'"
        return bool(await ledger.fetchval(count) >= 2)

    await until(skipped)
    assert len(target.requests) == 1
    assert (await say(two[1], target.requests[0], "complete", {"status": "succeeded"})).is_success
    await target.wait_for(2)


async def test_cancels_through_the_other_replica_end_running_and_waiting_work(
    two: tuple[Replica, Replica], target: Receiver, ledger: Connection
) -> None:
    target.on("/", held(asyncio.Event(), answer(200)))
    running = await triggered(two[0], target, overlap="queue")
    (request,) = await target.wait_for(1)
    _, other = parted(two, request)
    job = (await call(other, "GET", f"/runs/{running}")).json()["job_id"]
    waiting = (await call(other, "POST", f"/jobs/{job}/trigger")).json()["id"]
    answered = await call(other, "POST", f"/runs/{waiting}/cancel")
    assert (answered.status_code, answered.json()["status"]) == (200, "cancelled")
    assert (await call(other, "POST", f"/runs/{running}/cancel")).status_code == 202

    async def ended() -> bool:
        return await status(other, running) == ("cancelled", "cancelled")

    await until(ended)
    assert len(target.requests) == 1
    assert await ledger.fetchval("SELECT count(*) FROM runs WHERE status = 'cancelled'") == 2


async def test_an_alert_of_a_failure_reaches_its_receiver_once(
    two: tuple[Replica, Replica], target: Receiver, ledger: Connection
) -> None:
    target.on("/", answer(404))
    alerts = {"url": target.url("/alerts"), "every_failure": True}
    await triggered(two[0], target, target={"url": target.url()}, alerts=alerts)
    (told,) = await target.wait_for(1, "/alerts")
    assert b"dev.scheduler-svc.run.failed" in told.body

    async def settled() -> bool:
        sent = "SELECT status FROM runs WHERE trigger = 'alert'"
        return bool(await ledger.fetchval(sent) == "succeeded")

    await until(settled)
    assert len(target.of("/alerts")) == 1


async def _alive(ledger: Connection, count: int) -> bool:
    """Tell whether so many replicas have a lease."""
    alive = "SELECT count(*) FROM replicas WHERE lease_until >= clock_timestamp()"
    return bool(await ledger.fetchval(alive) == count)


def _short(target: Receiver, timeout: str) -> dict[str, Any]:
    return {"url": target.url(), "completion": "callback", "completion_timeout": timeout}
