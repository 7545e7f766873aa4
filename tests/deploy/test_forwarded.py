"""Whose address counts behind a proxy, as docs/security.md says: by the setting alone."""

import httpx2
import pytest

from commands import COMMAND, call, free_port, program
from sealing import KEY_TEXT

FIRST, LAST = "192.0.2.9", "198.51.100.1"
"""What a proxy wrote, and what a second one added."""
BOOTSTRAP = "a-bootstrap-key-of-this-test"


@pytest.mark.parametrize(
    ("given", "said", "counts"),
    [
        ("", FIRST, "127.0.0.1"),
        ("10.0.0.1", FIRST, "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", f"{FIRST}, {LAST}", LAST),
        ("127.0.0.1,198.51.100.0/24", f"{FIRST}, {LAST}", FIRST),
    ],
    ids=[
        "nobody is believed unless named",
        "others are not believed",
        "nobody forwards",
        "the last one counts",
        "proxies of the list are passed over",
    ],
)
async def test_networks_of_a_key_and_the_log_go_by(
    given: str, said: str, counts: str, dsn: str
) -> None:
    port = free_port()
    env = {
        "DATABASE_URL": dsn,
        "SCHEDULER_HOST": "127.0.0.1",
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_BOOTSTRAP_KEY": BOOTSTRAP,
        "SCHEDULER_SECRET_KEYS": KEY_TEXT,
        "SCHEDULER_TRUSTED_PROXIES": given,
    }
    async with (
        program(*COMMAND, "serve", env=env) as running,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):
        await running.line("API ")
        statuses = {}
        # The one that counts is first: after a refusal an address has to wait.
        for network in sorted((FIRST, LAST, "127.0.0.1"), key=lambda one: one != counts):
            made = await http.post(
                "/api-keys",
                json={"name": network, "scopes": ["jobs:read"], "cidrs": [f"{network}/32"]},
                headers={"Authorization": f"Bearer {BOOTSTRAP}"},
            )
            headers = {"Authorization": f"Bearer {made.json()['key']}"}
            if said:
                headers["X-Forwarded-For"] = said
            statuses[network] = (await http.get("/jobs", headers=headers)).status_code
        assert f'"peer":"{counts}"' in await running.line('"path":"/jobs"')
    assert statuses.pop(counts) == 200
    assert set(statuses.values()) <= {401, 429}


async def test_the_variable_that_was_read_once_is_refused_with_the_one_that_is_now() -> None:
    env = {"SCHEDULER_PROFILE": "development", "FORWARDED_ALLOW_IPS": "*"}
    code, told = await call("check-config", env=env)
    assert code == 2
    assert "FORWARDED_ALLOW_IPS: is not read any more" in told
    assert "SCHEDULER_TRUSTED_PROXIES" in told
