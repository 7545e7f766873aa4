"""Whose address counts behind a proxy, as docs/security.md says: by FORWARDED_ALLOW_IPS alone."""

import httpx2
import pytest

from commands import COMMAND, free_port, program

FIRST, LAST = "192.0.2.9", "198.51.100.1"
"""What a proxy wrote, and what a second one added."""
BOOTSTRAP = "a-bootstrap-key-of-this-test"


@pytest.mark.parametrize(
    ("given", "said", "counts"),
    [
        (None, "", "127.0.0.1"),
        (None, FIRST, FIRST),
        (None, f"{FIRST}, {LAST}", LAST),
        ("127.0.0.1,198.51.100.0/24", f"{FIRST}, {LAST}", FIRST),
        ("", FIRST, "127.0.0.1"),
        ("10.0.0.1", FIRST, "127.0.0.1"),
        ("*", f"{FIRST}, {LAST}", FIRST),
    ],
    ids=[
        "nobody forwards",
        "loopback is believed",
        "the last one counts",
        "proxies of the list are passed over",
        "empty believes nobody",
        "others are not believed",
        "everybody is believed, and the first counts",
    ],
)
async def test_networks_of_a_key_are_judged_by(
    given: str | None, said: str, counts: str, dsn: str
) -> None:
    port = free_port()
    env = {
        "DATABASE_URL": dsn,
        "SCHEDULER_HOST": "127.0.0.1",
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_BOOTSTRAP_KEY": BOOTSTRAP,
        **({} if given is None else {"FORWARDED_ALLOW_IPS": given}),
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
    assert statuses.pop(counts) == 200
    assert set(statuses.values()) <= {401, 429}
