"""Secrets across replicas: what one is told counts on another, with notices and without."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from standardwebhooks import Webhook

from fleet import replica
from receiver import Received, Receiver, receiving
from sealing import KEY_TEXT

pytestmark = pytest.mark.timeout(120)


async def _call(http: httpx2.AsyncClient, target: Receiver) -> Received:
    """Trigger the job and return what its target got."""
    before = len(target.requests)
    answer = await http.post("/jobs/a/trigger", json={"overlap": "allow"})
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(20):
        return (await target.wait_for(before + 1))[before]


@pytest.mark.parametrize(("listen", "calls_max"), [("true", 1), ("false", 8)])
async def test_a_secret_changed_at_one_replica_counts_at_another(
    dsn: str, tmp_path: Path, listen: str, calls_max: int
) -> None:
    """With notices the next call has it; without, a call within seconds."""
    shared = {"secret_keys": KEY_TEXT, "data_dir": str(tmp_path), "listen": listen}
    async with (
        receiving() as target,
        replica(dsn, role="api", **shared) as asked,
        replica(dsn, role="engine", **shared),
        httpx2.AsyncClient(base_url=asked.url(""), timeout=20) as http,
    ):
        await http.put("/secrets/token", json={"value": "first-value"})
        headers = {"X-Mine": "{{secret:token}}"}
        job = {
            "schedule": {"every": "1d"},
            "target": {"url": target.url("/"), "headers": headers},
        }
        assert (await http.put("/jobs/a", json=job)).status_code == 201
        first = await _call(http, target)
        assert first.headers["x-mine"] == "first-value"
        assert "webhook-signature" not in first.headers
        await http.put("/secrets/token", json={"value": "second-value"})
        made = (await http.post("/signing-secrets")).json()
        last = first
        for _ in range(calls_max):
            last = await _call(http, target)
            if last.headers["x-mine"] == "second-value":
                break
            await asyncio.sleep(1)  # the age, in seconds, is the promise here
        assert last.headers["x-mine"] == "second-value"
        Webhook(made["secret"]).verify(last.body, last.headers, json_parse=False)
