"""A run's way over real replicas, as a real collector of spans sees it."""

import asyncio
import json
import signal

import httpx2
import pytest

from fleet import replica
from otlp import attributes, collecting
from receiver import Received, Wire, answer, receiving
from scheduler_svc.domain.spans import read_traceparent

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LEASE = {"lease": "2s", "heartbeat": "500ms"}

pytestmark = pytest.mark.timeout(120)


async def test_a_run_that_outlives_its_replica_is_one_trace_from_the_callers_request_on(
    dsn: str,
) -> None:
    async with (
        collecting() as collector,
        receiving() as receiver,
        replica(dsn, trace_url=collector.url, log_level="info", **LEASE) as one,
        httpx2.AsyncClient() as http,
    ):
        reached = asyncio.Event()

        async def kill(wire: Wire, received: Received) -> None:
            """Let the first replica die with the call, and answer the next one."""
            if received.headers["scheduler-attempt"] == "1":
                one.program.tell(signal.SIGKILL)
                reached.set()
                await wire.peer_gone()
            else:
                await answer(200)(wire, received)

        receiver.on("/work", kill)
        made = await http.post(
            one.url("/jobs"),
            json={"schedule": {"every": "1h"}, "target": {"url": receiver.url("/work")}},
            headers={"X-Request-ID": "made-the-job"},
        )
        created = json.loads(await one.program.line("job.created"))
        assert created["request_id"] == "made-the-job"
        async with replica(dsn, trace_url=collector.url, log_level="info", role="api") as api:
            path = f"/jobs/{made.json()['id']}/trigger"
            asked = {"traceparent": PARENT, "X-Request-ID": "from-the-caller"}
            run = (await http.post(api.url(path), headers=asked)).json()
            async with asyncio.timeout(60):
                await reached.wait()
            async with replica(dsn, trace_url=collector.url, log_level="info", **LEASE) as other:
                (whole,) = await collector.until("run", 1)
                line = json.loads(await other.program.line("run.succeeded"))
            (request,) = await collector.until("POST /jobs/{id}/trigger", 1)
            logged = json.loads(await api.program.line('"request_id":"from-the-caller"'))
    assert run["trace_id"] == line["trace_id"] == whole.trace_id.hex()
    assert run["id"] == line["run_id"]
    (attempt,) = collector.named("attempt")
    assert attempt.trace_id == whole.trace_id
    assert attempt.parent_span_id == whole.span_id
    told = [read_traceparent(r.headers["traceparent"]) for r in receiver.requests]
    assert [f"{each.trace_id:032x}" for each in told if each] == [run["trace_id"]] * 2
    assert told[1] is not None
    assert f"{told[1].span_id:016x}" == attempt.span_id.hex()
    assert attributes(whole)["scheduler.run.attempts"] == 2
    # The request is of the caller's trace, and each names the other.
    assert request.trace_id.hex() == logged["trace_id"] == PARENT[3:35]
    assert request.parent_span_id.hex() == PARENT[36:52]
    assert [link.span_id for link in request.links] == [whole.span_id]
    assert [link.span_id for link in whole.links] == [request.span_id]


async def test_a_collector_that_is_away_or_never_answers_delays_no_call_and_no_end(
    dsn: str,
) -> None:
    async def silent(wire: Wire, _: Received) -> None:
        await wire.peer_gone()

    async with (
        receiving() as receiver,
        httpx2.AsyncClient() as http,
        replica(dsn, trace_url="http://127.0.0.1:1") as refused,
        replica(dsn, trace_url=receiver.url("")) as unanswered,
    ):
        receiver.on("/v1/traces", silent)
        job = {"schedule": {"every": "1h"}, "target": {"url": receiver.url("/work")}}
        for each in (refused, unanswered):
            made = await http.post(each.url("/jobs"), json=job)
            run = (await http.post(each.url(f"/jobs/{made.json()['id']}/trigger"))).json()
            async with asyncio.timeout(10):
                # The ledger of another process: there is no event to wait for.
                while run["status"] != "succeeded":
                    await asyncio.sleep(0.05)
                    run = (await http.get(each.url(f"/runs/{run['id']}"))).json()
        for each in (refused, unanswered):
            await each.program.line("trace.failed")
            each.program.tell(signal.SIGTERM)
        assert [await each.program.end() for each in (refused, unanswered)] == [0, 0]
