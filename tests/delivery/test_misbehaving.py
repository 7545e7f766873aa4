"""Receivers that misbehave: each gives its documented outcome, in bounded time and memory."""

from time import perf_counter

import pytest

from receiver import Behaviour, endless, raw, receiving, reset, silence
from sending import both_loops, call, sending

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n"

# name: (behaviour, outcome, status, a part of the error)
FAULTS: dict[str, tuple[Behaviour, str, int | None, str]] = {
    "silent": (silence(), "timeout", None, "first byte"),
    "stops in the status line": (silence(b"HTTP/1.1 2"), "timeout", None, "end of the response"),
    "stops in the headers": (silence(HEAD + b"X: y\r\n"), "timeout", None, "end of the response"),
    "stops after 100": (silence(b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout", None, "end"),
    "stops in the body": (silence(LENGTH % 9 + b"abc"), "timeout", 200, "end of the response"),
    "stops in a chunk": (silence(CHUNKED + b"9\r\nabc"), "timeout", 200, "end of the response"),
    "never ends a chunked body": (silence(CHUNKED + b"1\r\na\r\n"), "timeout", 200, "end"),
    "drips the head": (endless(HEAD, b"X", 0.02), "timeout", None, "end of the response"),
    "drips the body": (endless(LENGTH % 999, b"x", 0.02), "timeout", 200, "end of the response"),
    "resets at once": (reset(), "connect_error", None, "before the response head"),
    "resets in the head": (reset(HEAD + b"X: "), "connect_error", None, "before the response head"),
    "resets in the body": (
        reset(LENGTH % 9 + b"abc"),
        "protocol_error",
        200,
        "inside the response",
    ),
    "resets where a close would end it": (
        reset(HEAD + b"\r\nabc"),
        "protocol_error",
        200,
        "inside the response",
    ),
    "closes at once": (raw(b"", then_close=True), "connect_error", None, "closed before"),
    "closes in the head": (raw(HEAD, then_close=True), "connect_error", None, "closed before"),
    "closes in the body": (
        raw(LENGTH % 9 + b"abc", then_close=True),
        "protocol_error",
        200,
        "inside the response",
    ),
    "closes in a chunk": (
        raw(CHUNKED + b"9\r\nabc", then_close=True),
        "protocol_error",
        200,
        "inside the response",
    ),
    "closes before the last chunk": (
        raw(CHUNKED + b"3\r\nabc\r\n", then_close=True),
        "protocol_error",
        200,
        "inside the response",
    ),
    "closes after 100": (
        raw(b"HTTP/1.1 100 Continue\r\n\r\n", then_close=True),
        "connect_error",
        None,
        "closed before",
    ),
    "floods with 1xx": (
        endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        "protocol_error",
        None,
        "informational",
    ),
    "answers 1xx with a body": (
        raw(b"HTTP/1.1 103 Hints\r\nContent-Length: 3\r\n\r\nabc" + HEAD + b"\r\n"),
        "protocol_error",
        None,
        "1xx",
    ),
    "switches protocols": (
        raw(b"HTTP/1.1 101 Sure\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc"),
        "protocol_error",
        None,
        "101",
    ),
    "has a header without end": (
        endless(HEAD + b"X: ", b"x" * 5000),
        "too_large",
        None,
        "head over",
    ),
    "has headers without end": (
        endless(HEAD, b"X-Header: value\r\n" * 300),
        "too_large",
        None,
        "head over",
    ),
    "has a huge head in one piece": (
        raw(HEAD + b"X: %b\r\n" % (b"x" * 90) * 1000 + b"Content-Length: 0\r\n\r\n"),
        "too_large",
        None,
        "head over",
    ),
    "chunks with extensions without end": (
        endless(CHUNKED + b"1;", b"x" * 60000),
        "protocol_error",
        200,
        "framing",
    ),
    "has trailers without end": (
        endless(CHUNKED + b"0\r\n", b"X: y\r\n" * 5000),
        "protocol_error",
        200,
        "framing",
    ),
    "speaks something else": (
        raw(b"220 mail.example ESMTP\r\n"),
        "protocol_error",
        None,
        "not HTTP",
    ),
    "speaks HTTP/0.9": (raw(b"<html>hello</html>"), "protocol_error", None, "not HTTP"),
    "speaks HTTP/2": (
        raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
        "protocol_error",
        None,
        "not HTTP",
    ),
    "speaks RTSP": (raw(b"RTSP/1.0 200 OK\r\n\r\n"), "protocol_error", None, "not HTTP"),
    "says HTTP/2.0": (raw(b"HTTP/2.0 200 OK\r\n\r\n"), "protocol_error", None, "HTTP/1"),
    "echoes a request": (raw(b"HTTP / HTTP/1.1\r\n\r\n"), "protocol_error", None, "malformed"),
    "says status 000": (raw(b"HTTP/1.1 000 No\r\n\r\n"), "protocol_error", None, "status 000"),
    "says status 99": (raw(b"HTTP/1.1 99 No\r\n\r\n"), "protocol_error", None, "malformed"),
    "says status 99999999": (
        raw(b"HTTP/1.1 99999999 No\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    "says two lengths": (
        raw(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        "protocol_error",
        None,
        "malformed",
    ),
    "says length and chunked": (
        raw(HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    "says chunked and length": (
        raw(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    **{
        f"says length {length.decode()}": (
            raw(HEAD + b"Content-Length: %b\r\n\r\nabc" % length),
            "protocol_error",
            None,
            "malformed",
        )
        for length in (b"-1", b"+3", b"1e9", b"0x3", b"3, 3", b"abc", b"9" * 30)
    },
    "says a bad chunk size": (raw(CHUNKED + b"zz\r\nabc\r\n"), "protocol_error", 200, "malformed"),
    "says a chunk of all the memory": (
        raw(CHUNKED + b"f" * 17 + b"\r\nabc"),
        "protocol_error",
        200,
        "malformed",
    ),
    "writes more than its chunk": (
        raw(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"),
        "protocol_error",
        200,
        "malformed",
    ),
    "folds a header": (raw(HEAD + b"X: a\r\n b\r\n\r\n"), "protocol_error", None, "malformed"),
    "puts NUL into a header": (
        raw(HEAD + b"X: a\x00b\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    "puts a space before the colon": (
        raw(HEAD + b"X : a\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    "ends lines with LF": (raw(b"HTTP/1.1 200 OK\n\n"), "protocol_error", None, "malformed"),
}


@pytest.mark.parametrize("fault", FAULTS)
@both_loops
async def test_a_fault_of_the_receiver_is_an_outcome(fault: str) -> None:
    behaviour, outcome, status, error = FAULTS[fault]
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", behaviour)
        began = perf_counter()
        exchange = await sender.send(call(url, first_byte_timeout=0.25, total_timeout=0.3))
        assert perf_counter() - began < 1.3
        assert (exchange.outcome, exchange.status_code) == (outcome, status)
        assert error in (exchange.error or "")
        assert len(receiver.of("/x")) == 1  # nothing is ever sent twice

        # And the next call to the same origin is none the worse.
        assert (await sender.send(call(receiver.url("/good")))).outcome == "ok"


@both_loops
async def test_nobody_listening_is_a_connect_error() -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.url("/")
    async with sending() as sender:
        exchange = await sender.send(call(url))
        assert (exchange.outcome, exchange.error) == ("connect_error", "connection refused")
