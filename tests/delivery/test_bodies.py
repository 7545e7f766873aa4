"""Complete responses: read whole in every framing, cut at the cap, and kept only when exact."""

import asyncio

import pytest

from receiver import Behaviour, Received, Wire, endless, raw, receiving
from sending import both_loops, call, sending

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n"

BODIES: dict[str, tuple[Behaviour, bytes, bool]] = {
    "fixed": (raw(LENGTH % 3 + b"abc"), b"abc", True),
    "empty": (raw(LENGTH % 0), b"", True),
    "chunked": (raw(CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nX-Trailer: t\r\n\r\n"), b"abc", True),
    "until close": (raw(HEAD + b"\r\nabc", then_close=True), b"abc", False),
    "gzip, unread": (
        raw(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"),
        b"\x1f\x8b\x08\x00",
        True,
    ),
    "after 100 and 103": (
        raw(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + LENGTH % 2 + b"ok"),
        b"ok",
        True,
    ),
    "no content, whatever the length": (
        raw(b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n"),
        b"",
        True,
    ),
    "not modified": (raw(b"HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n"), b"", True),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"), b"abc", False),
    "HTTP/1.0 kept": (
        raw(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc"),
        b"abc",
        True,
    ),
    "asked to close": (
        raw(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"),
        b"abc",
        False,
    ),
    "followed by more": (raw(LENGTH % 3 + b"abcHTTP/1.1 200 OK\r\n"), b"abc", False),
    "followed by junk": (raw(LENGTH % 3 + b"abc<html>"), b"abc", False),
    "status 999": (raw(b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n"), b"", True),
    "no reason phrase": (raw(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"), b"ok", True),
    "exactly the cap": (raw(LENGTH % 8192 + b"x" * 8192), b"x" * 8192, True),
}


@pytest.mark.parametrize("body", BODIES)
@both_loops
async def test_a_complete_response_is_ok_and_only_an_exact_one_keeps_the_connection(
    body: str,
) -> None:
    behaviour, expected, kept = BODIES[body]
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", behaviour)
        exchange = await sender.send(call(url))
        assert (exchange.outcome, exchange.error, exchange.truncated) == ("ok", None, False)
        assert exchange.body == expected
        again = await sender.send(call(receiver.url("/good")))
        assert (again.outcome, again.reused) == ("ok", kept)


@pytest.mark.parametrize(
    "before",
    [HEAD + b"\r\n", CHUNKED + b"ffffff\r\n", LENGTH % 10**10],
    ids=["close", "chunk", "fixed"],
)
@both_loops
async def test_an_endless_body_is_read_to_the_cap_and_cut(before: bytes) -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", endless(before, b"x" * 4096))
        exchange = await sender.send(call(url, capture_max=10_000))
        assert (exchange.outcome, exchange.status_code, exchange.truncated) == ("ok", 200, True)
        assert exchange.body == b"x" * 10_000
        assert not (await sender.send(call(receiver.url("/good")))).reused


@both_loops
async def test_a_response_may_come_octet_by_octet() -> None:
    async def behave(wire: Wire, _: Received) -> None:
        for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc":
            await wire.send(bytes([octet]))
            await asyncio.sleep(0)

    async with receiving() as receiver, sending() as sender:
        exchange = await sender.send(call(receiver.on("/x", behave)))
        assert (exchange.outcome, exchange.body) == ("ok", b"abc")
        assert exchange.headers == [("Content-Length", "3"), ("X", "y")]
