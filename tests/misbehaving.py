"""Targets that misbehave on the wire: the behaviour of each, and the outcome that is promised.

`zoo` adds those that misbehave elsewhere (in DNS, in TLS, by a redirect); docs/delivery.md shows
them all. Nothing here is random.
"""

import asyncio
import contextlib
import gzip

from receiver import OK, Behaviour, Received, Wire, answer, endless, raw, reset, silence

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n"
BOMB = gzip.compress(bytes(1 << 24))

# name: (behaviour, outcome, status, a part of the error)
FAULTS: dict[str, tuple[Behaviour, str, int | None, str]] = {
    "is silent": (silence(), "timeout", None, "first byte"),
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
    "injects a header by CR alone": (
        raw(HEAD + b"X: a\rSet-Cookie: b\r\n\r\n"),
        "protocol_error",
        None,
        "malformed",
    ),
    "names no header": (raw(HEAD + b": a\r\n\r\n"), "protocol_error", None, "malformed"),
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
    "names a transfer coding that is none": (
        raw(HEAD + b"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n\r\nok"),
        "protocol_error",
        None,
        "malformed",
    ),
    "ends a chunk with LF": (raw(CHUNKED + b"2\nok\n0\n\n"), "protocol_error", 200, "malformed"),
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


async def hasty(wire: Wire, _: Received) -> None:
    """Answer before the body is read, and leave it unread."""
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a ReadTransport
    await wire.send(OK)
    await asyncio.sleep(0.05)  # what is unread makes a reset, which would overtake the answer
    wire.reset()


async def deaf(wire: Wire, _: Received) -> None:
    """Never read another octet, and say nothing."""
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a ReadTransport
    with contextlib.suppress(ConnectionError):
        await asyncio.sleep(5)
    wire.reset()


# Odd, and yet a whole answer: name: (behaviour, status, whether it was cut at the cap)
ODDITIES: dict[str, tuple[Behaviour, int, bool]] = {
    "sends a body without end": (endless(HEAD + b"\r\n", b"x" * 4096), 200, True),
    "sends chunks without end": (endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"), 200, True),
    "says a length of 10 GB": (endless(LENGTH % 10**10, b"x" * 4096), 200, True),
    "sends a gzip bomb": (
        answer(200, BOMB, {"Content-Encoding": "gzip", "Content-Type": "application/json"}),
        200,
        True,
    ),
    "sends a bomb within a bomb": (
        answer(200, gzip.compress(BOMB), {"Content-Encoding": "gzip, gzip"}),
        200,
        False,
    ),
    "answers before it has read the request": (hasty, 200, False),
    "answers 204 with a body": (
        raw(b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc"),
        204,
        False,
    ),
    "answers 304 with a length": (
        raw(b"HTTP/1.1 304 Same\r\nContent-Length: 3\r\n\r\n"),
        304,
        False,
    ),
    "answers twice": (raw(OK + OK), 200, False),
    "answers, then junk": (raw(OK + b"<html>"), 200, False),
    "says it keeps the connection and closes it": (raw(OK, then_close=True), 200, False),
    "answers 200 after sixteen times 102": (
        raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 16 + OK),
        200,
        False,
    ),
    "says status 999": (raw(b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n"), 999, False),
    "speaks HTTP/1.0 and closes": (raw(b"HTTP/1.0 200 OK\r\n\r\nok", then_close=True), 200, False),
    "asks to wait for a thousand years": (
        answer(503, b"", {"Retry-After": "31536000000"}),
        503,
        False,
    ),
    "refreshes to elsewhere": (
        answer(
            200, b"<meta http-equiv=refresh content='0;url=http://10.0.0.1/'>", {"Refresh": "0"}
        ),
        200,
        False,
    ),
    "redirects where nobody follows": (
        answer(302, b"", {"Location": "http://169.254.169.254/"}),
        302,
        False,
    ),
}
