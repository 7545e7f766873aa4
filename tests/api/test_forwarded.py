"""What a proxy says of its caller: believed from listed networks, wherever it matters."""

import httpx2
import pytest
from msgspec.structs import replace

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from serving import Records

CALLER = "203.0.113.7"
SAID = {"X-Forwarded-For": CALLER, "X-Forwarded-Proto": "https"}


def through(deps: Deps, *proxies: str) -> httpx2.AsyncClient:
    app = build_app(replace(deps, trusted_proxies=proxies, loopback_only=False))
    transport = httpx2.ASGITransport(app, client=("10.0.0.1", 4711))
    return httpx2.AsyncClient(transport=transport, base_url="http://scheduler.test")


@pytest.mark.parametrize(
    ("proxies", "peer", "over_tls"),
    [((), "10.0.0.1", False), (("10.0.0.0/8",), CALLER, True), (("10.0.0.2",), "10.0.0.1", False)],
)
async def test_the_log_and_transport_security_go_by_what_is_believed(
    deps: Deps, records: Records, proxies: tuple[str, ...], peer: str, *, over_tls: bool
) -> None:
    async with through(deps, *proxies) as http:
        answer = await http.get("/healthz", headers=SAID)
    assert records.requests[-1].peer == peer
    assert ("strict-transport-security" in answer.headers) is over_tls


async def test_a_word_of_forwarded_changes_nothing(deps: Deps, records: Records) -> None:
    async with through(deps, "10.0.0.0/8") as http:
        answer = await http.get("/healthz", headers={"Forwarded": f"for={CALLER};proto=https"})
    assert records.requests[-1].peer == "10.0.0.1"
    assert "strict-transport-security" not in answer.headers
