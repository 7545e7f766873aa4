"""The rules of a namespace at the sender: judged on the address really dialled, and never wider."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from receiver import answer, receiving
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.namespaces import NOTHING, NamespaceEgress, egress_of
from scheduler_svc.domain.url import parse_url
from sending import both_loops, call, sending

HOST = "target.example"
OPERATOR = EgressRules.parse(allow=["127.0.0.0/8", "::1"], deny=["127.0.0.9"])


def narrowing(allow: Sequence[str] = (), deny: Sequence[str] = ()) -> NamespaceEgress:
    text = msgspec.json.encode({"egress": {"allow": list(allow), "deny": list(deny)}}).decode()
    made = egress_of(text)
    assert made is not None
    return made


def answering(*addresses: str) -> Callable[[str], Sequence[str]]:
    return lambda _: addresses


@pytest.mark.parametrize(
    ("allow", "deny", "outcome"),
    [
        ([HOST], [], "ok"),
        (["*.example"], [], "ok"),
        (["127.0.0.0/8"], [], "ok"),
        ([":{port}"], [], "ok"),
        (["127.0.0.1:{port}"], [], "ok"),
        ([], ["10.0.0.0/8", "other.example"], "ok"),
        (["other.example"], [], "blocked"),
        (["*.other.example"], [], "blocked"),
        (["127.0.0.2"], [], "blocked"),
        (["127.0.0.1:1"], [], "blocked"),
        ([":1"], [], "blocked"),
        ([], [HOST], "blocked"),
        ([], ["127.0.0.1"], "blocked"),
        ([], [":{port}"], "blocked"),
        ([HOST], ["127.0.0.0/8"], "blocked"),
        (["127.0.0.1"], ["*.example:{port}"], "blocked"),
    ],
)
@both_loops
async def test_a_call_goes_where_both_the_operator_and_its_namespace_agree(
    allow: list[str], deny: list[str], outcome: str
) -> None:
    async with receiving() as receiver:
        rules = narrowing(
            [text.format(port=receiver.port) for text in allow],
            [text.format(port=receiver.port) for text in deny],
        )
        async with sending(egress=OPERATOR, resolver=answering("127.0.0.1")) as sender:
            exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/", egress=rules))
            assert exchange.outcome == outcome
            assert receiver.connections == (outcome == "ok")


@pytest.mark.parametrize(
    ("allow", "deny", "outcome"),
    [
        (["127.0.0.0/8"], [], "ok"),
        ([":{port}"], [], "ok"),
        ([], [":1"], "ok"),
        ([], [":{port}"], "blocked"),
        ([], ["127.0.0.1:{port}"], "blocked"),
        ([HOST], [], "blocked"),
        ([":1"], [], "blocked"),
    ],
)
@both_loops
async def test_an_address_in_the_url_is_judged_by_networks_and_ports(
    allow: list[str], deny: list[str], outcome: str
) -> None:
    async with receiving() as receiver, sending(egress=OPERATOR) as sender:
        rules = narrowing(
            [text.format(port=receiver.port) for text in allow],
            [text.format(port=receiver.port) for text in deny],
        )
        assert (await sender.send(call(receiver.url(), egress=rules))).outcome == outcome


@pytest.mark.parametrize("addresses", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
@both_loops
async def test_one_address_outside_of_the_namespace_is_enough(addresses: list[str]) -> None:
    async with receiving() as receiver:
        for rules in (narrowing(["127.0.0.1"]), narrowing([], ["127.0.0.2"])):
            async with sending(egress=OPERATOR, resolver=answering(*addresses)) as sender:
                exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/", egress=rules))
                assert exchange.outcome == "blocked"
                assert exchange.error == "the address of this name may not be called"
        assert receiver.connections == 0


@both_loops
async def test_what_the_operator_denies_no_namespace_opens() -> None:
    rules = narrowing(["127.0.0.9", "10.0.0.0/8", "169.254.169.254", "intranet", ":6379"])
    async with sending(egress=OPERATOR) as sender:
        for url in (
            "http://127.0.0.9:9000/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://intranet/",
            "http://8.8.8.8:6379/",
        ):
            assert (await sender.send(call(url, egress=rules))).outcome == "blocked"


@both_loops
async def test_a_connection_of_older_rules_is_not_used_under_newer_ones() -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.url("/")
        older = narrowing(["127.0.0.0/8"])
        assert (await sender.send(call(url, egress=older))).outcome == "ok"
        assert (await sender.send(call(url, egress=older))).reused
        newer = narrowing([], ["127.0.0.1"])
        assert (await sender.send(call(url, egress=newer))).outcome == "blocked"
        # The rules of an equal revision elsewhere are others too.
        again = await sender.send(call(url, egress=narrowing(["127.0.0.0/8"])))
        assert (again.outcome, again.reused) == ("ok", False)


@both_loops
async def test_each_hop_of_a_redirect_is_judged_by_the_namespace_too() -> None:
    async with receiving() as receiver, receiving() as other, sending() as sender:
        url = receiver.on("/x", answer(302, b"", {"Location": other.url("/secret")}))
        rules = narrowing([f":{receiver.port}"])
        exchange = await sender.send(call(url, redirects=3, egress=rules))
        assert (exchange.outcome, exchange.status_code) == ("blocked", None)
        assert other.connections == 0


def test_settings_that_can_not_be_read_open_nothing() -> None:
    for text in ("{", '{"egress": {"allow": ["10.0.0.1/8"]}}', '{"egress": {"new": 1}}', "[]"):
        rules = egress_of(text)
        assert rules is NOTHING
        for address in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"):
            assert rules.refuse_address(address, 443, name="a.example") is not None
        assert rules.refuse_url(parse_url("https://8.8.8.8/")) is not None


def test_settings_that_say_nothing_of_egress_cost_nothing() -> None:
    for text in ("{}", '{"egress": {"allow": [], "deny": []}, "alerts": null, "newer": 1}'):
        assert egress_of(text) is None
