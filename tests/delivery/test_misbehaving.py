"""Targets that misbehave: each gives its documented outcome, in bounded time and memory."""

import asyncio
import gc
import random
import re
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest

import zoo
from sending import both_loops, call

STATM = Path("/proc/self/statm")
PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
WITHIN_SECONDS = 1.3
MIXED = 1000
# At once, as with so many slots: an open TLS handshake alone takes half a mebibyte of the loop, at
# both ends.
LANES = 100
GROWTH_MAX = 20 * 1024 * 1024


def skip_without_ipv6(name: str) -> None:
    if "IPv6" in name:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")


@pytest.mark.parametrize("name", zoo.CASES)
@both_loops
async def test_what_a_target_does_gives_the_outcome_that_is_documented(
    name: str, tmp_path: Path
) -> None:
    skip_without_ipv6(name)
    async with zoo.opened(tmp_path) as opened:
        request = await zoo.CASES[name].request(opened)
        began = perf_counter()
        exchange = await opened.sender.send(request)
        assert perf_counter() - began < WITHIN_SECONDS
        zoo.CASES[name].judge(name, exchange)
        # Nothing is ever sent twice, and nothing reaches what was not judged.
        assert len(opened.plain.of(request.url.target)) <= 1 + request.redirects
        assert opened.inside.connections == 0
        # And the next call to the same origin is none the worse.
        assert (await opened.sender.send(call(opened.plain.url("/good")))).outcome == "ok"


def test_there_are_at_least_twenty_five_ways_of_each_kind_that_matters() -> None:
    assert len(zoo.CASES) >= 25
    told = {outcome for case in zoo.CASES.values() for outcome in case.outcomes}
    assert told == {
        *("ok", "protocol_error", "timeout", "connect_error", "tls_error", "blocked", "too_large"),
    }


def test_the_page_shows_the_suite_as_the_code_has_it() -> None:
    page = PAGE.read_text()
    shown = re.search(r"<!-- behaviours -->\n(.*?)\n<!-- /behaviours -->", page, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == zoo.table()


def resident() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
@both_loops
async def test_a_thousand_of_them_mixed_grow_memory_by_less_than_20_mib(tmp_path: Path) -> None:
    names = [name for name in zoo.CASES if "IPv6" not in name]

    async def lane(opened: zoo.Zoo, drawn: Iterator[str]) -> None:
        for name in drawn:
            zoo.CASES[name].judge(name, await opened.send(name))

    async def round_of(opened: zoo.Zoo, calls: int, seed: int) -> None:
        drawn = [names[number % len(names)] for number in range(calls)]
        random.Random(seed).shuffle(drawn)
        shared = iter(drawn)
        await asyncio.gather(*[lane(opened, shared) for _ in range(LANES)])

    async with zoo.opened(tmp_path, seconds=2.0, connections_per_origin=100) as opened:
        await round_of(opened, 2 * LANES, seed=1)
        gc.collect()
        before = resident()
        began = perf_counter()
        await round_of(opened, MIXED, seed=2)
        assert perf_counter() - began < 60
        gc.collect()
        assert resident() - before < GROWTH_MAX
        assert opened.inside.connections == 0
