"""Egress as an operator sets it, in the whole service: by the environment, and by a namespace."""

import asyncio
import signal
from typing import Any

import httpx2
import pytest

from commands import COMMAND, SECONDS, call, development, free_port, program
from receiver import Receiver, receiving

EVERY = {"every": "1s"}


async def ended(http: httpx2.AsyncClient, name: str, reason: str | None) -> dict[str, Any]:
    """Wait for a run of a job that ended for this reason."""
    async with asyncio.timeout(SECONDS):
        while True:
            for run in (await http.get(f"/jobs/{name}/runs")).json()["items"]:
                if run["finished_at"] is not None and run["reason"] == reason:
                    found: dict[str, Any] = run
                    return found
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("listen", ["true", "false"])
async def test_deny_lists_of_the_operator_and_of_a_namespace_hold_for_running_jobs(
    dsn: str, listen: str
) -> None:
    port = free_port()
    async with receiving() as receiver, receiving() as denied:
        deny = f"127.0.0.1:{denied.port}"
        env = development(dsn, port, egress_deny=deny, listen=listen)
        async with program(*COMMAND, "serve", env=env) as running:
            await running.line("API ")
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
                await judge(http, receiver, denied)
            running.tell(signal.SIGTERM)
            assert await running.end() == 0


async def judge(http: httpx2.AsyncClient, receiver: Receiver, denied: Receiver) -> None:
    refused = await http.post("/jobs", json={"schedule": EVERY, "target": {"url": denied.url()}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["detail"] == "this address is on the deny list"
    # A name that leads there is found out when it is dialled.
    for name, port in (("good", receiver.port), ("bad", denied.port)):
        target = {"url": f"http://localhost:{port}/"}
        made = await http.put(f"/jobs/{name}", json={"schedule": EVERY, "target": target})
        assert made.status_code == 201, made.text
    assert (await ended(http, "good", None))["status"] == "succeeded"
    assert (await ended(http, "bad", "blocked"))["status"] == "failed"
    assert denied.connections == 0
    settings = {"egress": {"deny": [f"127.0.0.1:{receiver.port}"]}}
    assert (await http.put("/namespaces/default", json=settings)).status_code == 201
    run = await ended(http, "good", "blocked")
    (attempt,) = (await http.get(f"/runs/{run['id']}")).json()["attempts"]
    assert (attempt["outcome"], attempt["response"]) == ("blocked", None)
    assert attempt["error"] == "the address of this name may not be called"


async def test_lists_that_can_not_be_read_keep_the_service_from_starting() -> None:
    env = {
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_EGRESS_DENY": "10.0.0.1/8,ok.example,host:x",
    }
    code, told = await call("serve", env=env)
    assert code == 2
    assert told.count("SCHEDULER_EGRESS_DENY") == 2
