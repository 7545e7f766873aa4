"""Every octet we send, read by a parser that shares no code with ours: the server side of h11."""

import asyncio
from pathlib import Path

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import answer, receiving
from scheduler_svc.delivery.wire import serialise
from sending import both_loops, call, sending

TOKEN = st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=20)
VALUE = st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S"]), max_size=30)
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def parsed(octets: bytes) -> tuple[h11.Request, bytes]:
    """Read exactly one request; fail on anything beyond it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(octets)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    body = b""
    while not isinstance(event := server.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        body += bytes(event.data)
    assert server.trailing_data == (b"", False)
    return request, body


@given(
    st.sampled_from(METHODS),
    st.lists(
        st.tuples(TOKEN.map(lambda name: f"x-{name}".encode()), VALUE.map(str.encode)), max_size=8
    ),
    st.binary(max_size=300),
)
def test_an_independent_parser_reads_back_what_was_asked(
    method: str, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    octets = serialise(call("http://example.com:81/a?b=%20", method, headers=headers, body=body))
    assert octets is not None
    request, read = parsed(octets)
    assert (request.method, request.target, read) == (method.encode(), b"/a?b=%20", body)
    names = [(b"host", b"example.com:81"), (b"accept-encoding", b"identity")]
    if body or method in {"POST", "PUT", "PATCH"}:
        names.append((b"content-length", b"%d" % len(body)))
    sent = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    assert list(request.headers) == names + sent


@pytest.mark.parametrize(
    "header",
    [
        (b"X", b"a\r\nInjected: yes"),
        (b"X", b"a\nInjected: yes"),
        (b"X", b"a\rb"),
        (b"X", b"a\x00b"),
        (b"X", b"a\x7fb"),
        (b"X\r\nInjected", b"yes"),
        (b"X: y\r\nZ", b"yes"),
        (b"X Y", b"a"),
        (b"X:", b"a"),
        (b"", b"a"),
        (b"X\x00", b"a"),
        ("é".encode(), b"a"),
        (b"Host", b"other"),
        (b"HOST", b"other"),
        (b"Content-Length", b"0"),
        (b"content-length", b"0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Connection", b"upgrade"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"TE", b"trailers"),
        (b"Trailer", b"X"),
        (b"Keep-Alive", b"timeout=1"),
        (b"Accept-Encoding", b"gzip"),
    ],
)
@both_loops
async def test_a_header_that_would_frame_or_split_the_message_is_never_sent(
    header: tuple[bytes, bytes],
) -> None:
    async with receiving() as receiver, sending() as sender:
        exchange = await sender.send(call(receiver.url(), headers=[(b"a", b"b"), header]))
        assert (exchange.outcome, exchange.status_code) == ("blocked", None)
        assert receiver.connections == 0


@pytest.mark.parametrize("method", ["", "GET /x", "G\r\nT", "GET\x00", "ĠET", "A-B"])
@both_loops
async def test_a_method_that_is_none_is_never_sent(method: str) -> None:
    async with receiving() as receiver, sending() as sender:
        for headers in ([], [(b"a", b"b")]):
            exchange = await sender.send(call(receiver.url(), method, headers=headers))
            assert exchange.outcome == "blocked"
        assert receiver.connections == 0


@both_loops
async def test_percent_encoding_passes_unchanged_as_one_request() -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.url("/a%0d%0aX:%20y?b=%00%2F%e2%82%ac")
        assert (await sender.send(call(url))).outcome == "ok"
        (request,) = receiver.requests
        assert request.target == "/a%0d%0aX:%20y?b=%00%2F%e2%82%ac"
        assert request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("size", [0, 1, 200, 70_000, 1 << 20])
@both_loops
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    body = bytes(index % 251 for index in range(1000)) * (size // 1000 + 1)
    async with receiving() as receiver, sending() as sender:
        for method in ("POST", "GET", "DELETE"):
            exchange = await sender.send(call(receiver.url(), method, body=body[:size]))
            assert exchange.outcome == "ok"
        assert [request.body for request in receiver.requests] == [body[:size]] * 3
        assert receiver.connections == 1
        assert [parsed(request.raw)[1] for request in receiver.requests] == [body[:size]] * 3


@both_loops
async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:1/")
    monkeypatch.setenv("NO_PROXY", "")
    async with receiving() as receiver, sending() as sender:
        receiver.default = answer(204, b"")
        results = await asyncio.gather(*[sender.send(call(receiver.url())) for _ in range(3)])
        assert [exchange.status_code for exchange in results] == [204] * 3


@both_loops
async def test_credentials_of_a_netrc_file_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login someone password canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url()))
        (request,) = receiver.requests
        assert set(request.headers) == {"host", "accept-encoding", "content-length", "x-test"}
