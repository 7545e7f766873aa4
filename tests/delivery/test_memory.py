"""Memory under attack: a thousand misbehaving answers cost no more than the bound."""

import asyncio
import resource
from pathlib import Path

import pytest

from receiver import endless, raw, receiving
from sending import both_loops, call, sending

STATM = Path("/proc/self/statm")
HEAD = b"HTTP/1.1 200 OK\r\n"
ZEROS = b"\x1f\x8b\x08\x00" + b"\x00" * 65536


def resident() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
@both_loops
async def test_a_thousand_hostile_answers_grow_memory_by_less_than_20_mib() -> None:
    async with receiving() as receiver, sending(connections_per_origin=20) as sender:
        urls = [
            receiver.on("/endless", endless(HEAD + b"\r\n", ZEROS)),
            receiver.on("/bomb", endless(HEAD + b"Content-Encoding: gzip\r\n\r\n", ZEROS)),
            receiver.on("/header", endless(HEAD + b"X: ", b"x" * 65536)),
            receiver.on("/headers", endless(HEAD, b"X: y\r\n" * 4000)),
            receiver.on("/1xx", endless(b"", b"HTTP/1.1 102 P\r\n\r\n" * 1000)),
            receiver.on("/junk", raw(ZEROS, then_close=True)),
        ]

        async def round_of(count: int) -> None:
            calls = [call(urls[number % len(urls)], total_timeout=15.0) for number in range(count)]
            exchanges = await asyncio.gather(*[sender.send(one) for one in calls])
            assert "timeout" not in {exchange.outcome for exchange in exchanges}

        await round_of(120)
        before = resident()
        await round_of(1000)
        assert resident() - before < 20 * 1024 * 1024
