"""The guard at connect time: every address of a name is judged, and only judged ones dialled."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from time import perf_counter

import pytest

from receiver import receiving
from scheduler_svc.delivery.resolve import MISSING_SECONDS, THREADS_MAX, Directory
from scheduler_svc.domain.egress import EgressRules
from sending import LOOPBACK, both_loops, call, sending

HOST = "target.example"
# What a name may lead to here; the loopback, where receivers listen, counts as public to the tests.
RULES = EgressRules.parse(allow=["127.0.0.1", "::1"])


def answering(*addresses: str) -> Callable[[str], Sequence[str]]:
    return lambda _: addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["0.0.0.0"],
        ["::"],
        ["::ffff:10.0.0.1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["2002:7f00:1::"],
        ["fd00:ec2::254"],
        ["fe80::1"],
        ["fe80::1%lo"],
        ["224.0.0.1"],
        ["127.0.0.1", "10.0.0.1"],
        ["10.0.0.1", "127.0.0.1"],
        [*["127.0.0.1"] * 20, "10.0.0.1"],
    ],
)
@both_loops
async def test_a_name_with_any_denied_address_is_blocked(addresses: list[str]) -> None:
    async with (
        receiving() as receiver,
        sending(egress=RULES, resolver=answering(*addresses)) as sender,
    ):
        exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/"))
        assert (exchange.outcome, exchange.status_code) == ("blocked", None)
        assert receiver.connections == 0


@both_loops
async def test_what_is_blocked_by_name_tells_nothing_of_what_is_behind() -> None:
    async with receiving() as receiver:
        told = set()
        for addresses in (["10.0.0.1"], ["127.0.0.2"], ["169.254.169.254"]):
            for port in (receiver.port, 1025, 80):
                async with sending(egress=RULES, resolver=answering(*addresses)) as sender:
                    exchange = await sender.send(call(f"http://{HOST}:{port}/"))
                    told.add((exchange.outcome, exchange.error, exchange.timing.connect_ms))
        assert len(told) == 1


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://intranet/", "http://a.internal/",
     "http://public.example:22/", "http://127.0.0.2/"],
)  # fmt: skip
@both_loops
async def test_what_is_refused_at_create_is_blocked_again_at_send(url: str) -> None:
    asked: list[str] = []

    def resolver(host: str) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with sending(egress=RULES, resolver=resolver) as sender:
        assert (await sender.send(call(url))).outcome == "blocked"
        assert asked == []


@both_loops
async def test_the_judged_address_is_dialled_with_the_name_as_host() -> None:
    async with (
        receiving() as receiver,
        sending(egress=RULES, resolver=answering("127.0.0.1")) as sender,
    ):
        exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/x"))
        assert exchange.outcome == "ok"
        assert exchange.timing.dns_ms is not None
        assert receiver.requests[0].headers["host"] == f"{HOST}:{receiver.port}"


@both_loops
async def test_a_name_that_changes_between_check_and_dial_changes_nothing() -> None:
    """Rebinding: each look-up is judged and dialled as one, a thousand times over."""
    async with (
        receiving() as public,
        receiving(host="127.0.0.2", port=public.port) as inside,
    ):
        asked = 0

        def rebinding(_: str) -> Sequence[str]:
            nonlocal asked
            asked += 1
            return ["127.0.0.1"] if asked % 2 else ["127.0.0.2"]

        outcomes = []
        for _ in range(1000):
            async with sending(egress=RULES, resolver=rebinding) as sender:
                exchange = await sender.send(call(f"http://{HOST}:{public.port}/"))
                outcomes.append(exchange.outcome)
        assert outcomes == ["ok", "blocked"] * 500
        assert asked == 1000
        assert inside.connections == 0


def own_addresses() -> list[str]:
    """What this machine is called by from elsewhere, where it has an interface at all."""
    found = []
    for family, elsewhere in ((socket.AF_INET, "192.0.2.255"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            found.append(str(probe.getsockname()[0]))
    return [address for address in found if not address.startswith(("127.", "::1"))]


@both_loops
async def test_a_service_that_listens_everywhere_calls_itself_by_none_of_its_addresses() -> None:
    addresses = own_addresses()
    if not addresses:
        pytest.skip("this machine has no address but the loopback")
    for address in addresses:
        async with receiving(host=address) as receiver:
            allow = ["0.0.0.0/0", "::/0", HOST]
            wild = EgressRules.parse(allow=allow, own=[("0.0.0.0", receiver.port)])
            other = EgressRules.parse(allow=allow, own=[("0.0.0.0", receiver.port + 1)])
            for rules, outcome in ((wild, "blocked"), (other, "ok")):
                async with sending(egress=rules, resolver=answering(address)) as sender:
                    for url in (receiver.url(), f"http://{HOST}:{receiver.port}/"):
                        assert (await sender.send(call(url))).outcome == outcome
            assert receiver.connections == 2  # one by address and one by name, when allowed


@both_loops
async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with receiving() as receiver:
        for addresses in (["::1", "127.0.0.1"], ["127.0.0.1", "::1"]):
            async with sending(egress=RULES, resolver=answering(*addresses)) as sender:
                for _ in range(2):
                    exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/"))
                    assert exchange.outcome == "ok"


@both_loops
async def test_an_address_that_swallows_packets_costs_a_second_once() -> None:
    """A full backlog drops the SYN: the dial hangs as it does behind a firewall."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        server = await asyncio.start_server(_answer, "127.0.0.1", port)
        try:
            names = answering("127.0.0.2", "127.0.0.1")
            async with sending(resolver=names, keepalive_seconds=0, egress=LOOPBACK) as sender:
                url = f"http://{HOST}:{port}/"
                first = await sender.send(call(url, total_timeout=5.0))
                second = await sender.send(call(url))
            assert (first.outcome, second.outcome) == ("ok", "ok")
            assert 900 < first.duration_ms < 2000
            assert second.duration_ms < 500
        finally:
            server.close()
            for filler in fillers:
                filler.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


@both_loops
async def test_ipv6_alone_is_enough() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    async with receiving(host="::1") as receiver:
        async with sending(egress=RULES, resolver=answering("::1")) as sender:
            exchange = await sender.send(call(f"http://{HOST}:{receiver.port}/"))
            assert exchange.outcome == "ok"
        async with sending() as sender:
            assert (await sender.send(call(receiver.url()))).outcome == "ok"
            assert receiver.requests[-1].headers["host"] == f"[::1]:{receiver.port}"


@pytest.mark.parametrize("addresses", [OSError(-2, "Name or service not known"), []])
@both_loops
async def test_a_name_without_address_is_a_connect_error(addresses: OSError | list[str]) -> None:
    def resolver(_: str) -> Sequence[str]:
        if isinstance(addresses, OSError):
            raise addresses
        return addresses

    async with sending(resolver=resolver) as sender:
        for _ in range(2):  # the second from memory
            exchange = await sender.send(call(f"http://{HOST}/"))
            assert (exchange.outcome, exchange.error) == ("connect_error", "name not found")


@both_loops
async def test_a_resolver_that_hangs_costs_its_own_callers_only() -> None:
    hang = threading.Event()

    def resolver(host: str) -> Sequence[str]:
        if host.startswith("slow"):
            hang.wait(10)
        return ["127.0.0.1"]

    async with receiving() as receiver, sending(egress=RULES, resolver=resolver) as sender:
        slow = call(f"http://slow.example:{receiver.port}/", connect_timeout=0.2)
        good = call(f"http://{HOST}:{receiver.port}/")
        began = perf_counter()
        first, second, other = await asyncio.gather(
            sender.send(slow), sender.send(slow), sender.send(good)
        )
        assert perf_counter() - began < 1
        assert (first.outcome, second.outcome, other.outcome) == ("timeout", "timeout", "ok")
        assert "before the connection" in (first.error or "")
        hang.set()


@both_loops
async def test_a_look_up_that_could_not_begin_or_broke_is_made_again_later() -> None:
    """Else its name would be waited for, in vain, as long as the process lives."""
    broken, begun = True, threading.Thread.start

    def resolver(_: str) -> Sequence[str]:
        if broken:
            raise ValueError
        return ["127.0.0.1"]

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    directory = Directory(resolver)
    try:
        threading.Thread.start = refused  # type: ignore[method-assign,assignment]
        for host in ("a.example", "b.example"):
            with pytest.raises(OSError, match="thread"):
                await directory.look_up(host)
    finally:
        threading.Thread.start = begun  # type: ignore[method-assign]
    for number in range(THREADS_MAX + 1):
        with pytest.raises(OSError):  # noqa: PT011 - it has no words
            await directory.look_up(f"{number}.example")
    broken = False
    assert await directory.look_up("c.example") == ["127.0.0.1"]
    await asyncio.sleep(MISSING_SECONDS)
    assert await directory.look_up("a.example") == ["127.0.0.1"]


@both_loops
async def test_one_look_up_serves_all_who_ask_and_is_remembered() -> None:
    asked: list[str] = []
    gate = threading.Event()

    def resolver(host: str) -> Sequence[str]:
        asked.append(host)
        gate.wait(5)
        return ["127.0.0.1"]

    directory = Directory(resolver)
    tasks = [asyncio.ensure_future(directory.look_up("a.example")) for _ in range(50)]
    await asyncio.sleep(0)
    tasks[0].cancel()  # who asked first may go; the others still get their answer
    gate.set()
    answers = await asyncio.gather(*tasks[1:])
    assert answers == [["127.0.0.1"]] * 49
    await directory.look_up("a.example")
    assert asked == ["a.example"]


@both_loops
async def test_the_system_resolver_knows_localhost() -> None:
    async with receiving() as receiver, sending() as sender:
        exchange = await sender.send(call(f"http://localhost:{receiver.port}/"))
        assert exchange.outcome == "ok"
