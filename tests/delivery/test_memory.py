"""Memory under attack: a thousand misbehaving answers cost no more than the bound."""

import asyncio
import resource
from pathlib import Path

import pytest

from receiver import Received, Wire, endless, raw, receiving, silence
from scheduler_svc.delivery.capture import response_text
from scheduler_svc.domain.redaction import redaction_of
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


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
@pytest.mark.parametrize(("header", "rounds"), [("many", 80), ("long", 400), ("name", 400)])
async def test_what_is_remembered_of_heads_is_little_however_large_they_are(
    header: str, rounds: int
) -> None:
    number = 0

    async def large(wire: Wire, _: Received) -> None:
        nonlocal number
        number += 1
        lines = {
            "many": "".join(f"{number:x}{line:x}: {line:x}\r\n" for line in range(4500)),
            "long": f"x: {number:0>60000}\r\n",
            "name": f"{number:0>60000}: x\r\n",
        }
        await wire.send(f"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{lines[header]}\r\n".encode())

    async with receiving() as receiver, sending(connections_per_origin=4) as sender:
        url = receiver.on("/large", large)

        async def round_of(count: int) -> None:
            for _ in range(count):
                exchange = await sender.send(call(url, total_timeout=15.0))
                assert exchange.outcome == "ok"
                response_text(exchange, redaction_of([], []))

        await round_of(5)
        before = resident()
        await round_of(rounds)
        assert resident() - before < 20 * 1024 * 1024


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
async def test_what_is_cancelled_in_line_keeps_no_request_there() -> None:
    """As each run of a job that cancels the one before it, while its target answers nobody."""
    async with receiving() as receiver, sending(connections_per_origin=1) as sender:
        url = receiver.on("/mute", silence())
        first = asyncio.ensure_future(sender.send(call(url, total_timeout=60.0)))
        await receiver.wait_for(1)
        before = resident()
        for _ in range(60):
            waiting = sender.send(call(url, body=b"x" * (1 << 20), total_timeout=60.0))
            task = asyncio.ensure_future(waiting)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert resident() - before < 20 * 1024 * 1024
        first.cancel()
