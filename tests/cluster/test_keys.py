"""A revoked key stops on every replica within a second, with LISTEN and without."""

import asyncio
import time

import httpx2
import pytest

from fleet import replica
from sealing import KEY_TEXT

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ROOT = {"Authorization": f"Bearer {BOOTSTRAP}"}
SETTINGS = {
    "profile": "production",
    "host": "127.0.0.1",
    "bootstrap_key": BOOTSTRAP,
    "secret_keys": KEY_TEXT,
}

pytestmark = pytest.mark.timeout(120)


async def stops_after(http: httpx2.AsyncClient, url: str, key: dict[str, str]) -> float:
    """Use a key until it is refused, without a pause in which it could be forgotten."""
    begun = time.monotonic()
    while (await http.get(url, headers=key)).status_code == 200:
        assert time.monotonic() - begun < 5
    return time.monotonic() - begun


@pytest.mark.parametrize("listen", ["true", "false"])
async def test_a_revoked_key_stops_on_every_replica_within_a_second(dsn: str, listen: str) -> None:
    async with (
        replica(dsn, **SETTINGS, listen=listen) as one,
        replica(dsn, **SETTINGS, listen=listen) as other,
        replica(dsn, **SETTINGS, listen=listen, role="api") as third,
        httpx2.AsyncClient() as http,
    ):
        sent = {"name": "k", "scopes": ["jobs:read"]}
        made = (await http.post(one.url("/api-keys"), json=sent, headers=ROOT)).json()
        key = {"Authorization": f"Bearer {made['key']}"}
        urls = [each.url("/jobs") for each in (one, other, third)]
        for url in urls:
            assert (await http.get(url, headers=key)).status_code == 200
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(stops_after(http, url, key)) for url in urls]
            answer = await http.delete(one.url(f"/api-keys/{made['id']}"), headers=ROOT)
            assert answer.status_code == 204
        took = [end.result() for end in ends]
        print("stopped after", [f"{seconds * 1000:.0f} ms" for seconds in took])
        assert max(took) < 1.0
