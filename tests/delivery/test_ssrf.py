"""The corpus of addresses at the sender: blocked again, also by redirect, also where DNS lies."""

from collections.abc import Sequence

import pytest

from receiver import answer, receiving
from scheduler_svc.delivery.exchange import HttpRequest
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.url import UrlRefused, parse_url
from sending import both_loops, call, sending
from ssrf import CORPUS, DENIED_IPV4, DENIED_IPV6


def direct(url: str) -> HttpRequest | None:
    """The call of an address, where it is one at all: there is no other way to make one."""
    try:
        parse_url(url)
    except UrlRefused:
        return None
    return call(url)


@pytest.mark.parametrize("row", CORPUS)
@both_loops
async def test_every_address_of_the_corpus_is_blocked_at_send_whatever_dns_says(row: str) -> None:
    asked: list[str] = []

    def liar(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    own = [("0.0.0.0", 8080)]
    async with receiving() as receiver:
        rules = EgressRules.parse(allow=[f"127.0.0.1:{receiver.port}"], own=own)
        async with sending(egress=rules, resolver=liar) as sender:
            reached = []
            for url in CORPUS[row]:
                request = direct(url)
                if request is not None:
                    exchange = await sender.send(request)
                    if exchange.outcome != "blocked" or exchange.status_code is not None:
                        reached.append((url, exchange.outcome, exchange.error))
                # As the Location of a redirect any text may come; some would be relative to us.
                location = url.strip().encode("utf-8", "replace").decode("latin-1")
                if any(ord(one) < 32 for one in location) or "://" not in location:
                    continue
                at = receiver.on("/x", answer(307, b"", {"Location": location}))
                seen = len(receiver.requests)
                exchange = await sender.send(call(at, redirects=5))
                if exchange.outcome != "blocked":
                    reached.append((location, exchange.outcome, exchange.error))
                assert len(receiver.requests) == seen + 1
            assert reached == []
            assert [host for host in asked if host != "ok.example"] == []


@pytest.mark.parametrize("address", [*DENIED_IPV4, *DENIED_IPV6])
@both_loops
async def test_a_public_name_that_leads_there_is_blocked(address: str) -> None:
    for answers in ([address], ["8.8.8.8", address], [address, "2606:4700::1111"]):
        async with sending(egress=EgressRules(), resolver=lambda _, to=answers: to) as sender:
            exchange = await sender.send(call("http://ok.example/"))
            assert (exchange.outcome, exchange.timing.connect_ms) == ("blocked", None)
            assert exchange.error == "the address of this name may not be called"


@both_loops
async def test_a_private_target_that_is_listed_is_called() -> None:
    """Listed as a network, an address with its port, and a name; by literal and by name."""
    async with receiving() as receiver:
        port = receiver.port
        for allow in (["127.0.0.0/8"], [f"127.0.0.1:{port}"], ["inside.example", "127.0.0.1"]):
            rules = EgressRules.parse(allow=allow)
            async with sending(egress=rules, resolver=lambda _: ["127.0.0.1"]) as sender:
                for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "inside.example"):
                    exchange = await sender.send(call(f"http://{host}:{port}/"))
                    assert exchange.outcome == "ok", (allow, host, exchange.error)
        rules = EgressRules.parse(allow=["inside.example"])
        async with sending(egress=rules, resolver=lambda _: ["127.0.0.1"]) as sender:
            assert (await sender.send(call(f"http://inside.example:{port}/"))).outcome == "ok"
            for host in ("127.0.0.1", "other.example"):
                assert (await sender.send(call(f"http://{host}:{port}/"))).outcome == "blocked"
