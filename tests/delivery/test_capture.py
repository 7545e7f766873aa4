"""What is kept of an answer: text as text, bytes as bytes, and nothing that should be masked."""

import base64
import gzip
import json
import tracemalloc
import zlib
from typing import Any
from uuid import UUID

import msgspec
import pytest

from receiver import Behaviour, answer, raw, receiving, reset, silence
from scheduler_svc.delivery.capture import COMPRESSED, CUT, NO_JSON
from scheduler_svc.delivery.record import record
from scheduler_svc.domain.redaction import redaction_of
from scheduler_svc.domain.runs import Attempt, CapturedResponse
from sending import both_loops, call, sending

SECRET = "canary-5f0e"
BOMB = gzip.compress(bytes(16 << 20))
PLAIN = redaction_of([], [])


async def kept(behaviour: Behaviour, *pointers: str, **limits: Any) -> CapturedResponse:
    """What is kept of an answer that really came over a socket."""
    async with receiving() as receiver, sending() as sender:
        exchange = await sender.send(call(receiver.on("/x", behaviour), **limits))
    made = record(
        exchange,
        exchange.outcome,
        number=1,
        started_ms=0,
        replica=str(UUID(int=1)),
        redact=redaction_of(["X-Account"], pointers),
    )
    stored = msgspec.json.decode(made.text, type=Attempt)
    assert stored.response is not None
    return stored.response


def typed(body: bytes, kind: str | None, **headers: str) -> Behaviour:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer(200, body, given if kind is None else {"Content-Type": kind, **given})


UMLAUT = "nächste Fahrt"
AS_TEXT = [
    (b"plain", None, "plain"),
    (UMLAUT.encode(), None, UMLAUT),
    (UMLAUT.encode(), "text/plain", UMLAUT),
    (UMLAUT.encode(), "text/html; charset=UTF-8", UMLAUT),
    (UMLAUT.encode(), 'Text/HTML;Charset="utf-8"', UMLAUT),
    (UMLAUT.encode("latin-1"), "text/plain; charset=ISO-8859-1", UMLAUT),
    (UMLAUT.encode("latin-1"), "text/plain; format=flowed; charset=latin1", UMLAUT),
    (b"ascii", "text/plain; charset=US-ASCII", "ascii"),
    (b'{"a": 1.10}', "application/json", '{"a": 1.10}'),
    (b'{"a": 1}', "application/problem+json; charset=utf-8", '{"a": 1}'),
    (b"<a/>", "application/atom+xml", "<a/>"),
    (b"a=b", "application/x-www-form-urlencoded", "a=b"),
    (b"a\0b", "text/plain", "a\0b"),
    (b"\x1b[31mred\xe2\x80\xae", "text/plain", "\x1b[31mred\u202e"),
    (b"", "image/png", ""),
]
AS_BYTES = [
    (b"\x89PNG", None),
    (b"a\0b", None),
    (b"looks like text", "image/png"),
    (b"looks like text", "application/octet-stream"),
    (b"looks like text", "application/pdf"),
    (b"\xff\xfe", "text/plain"),
    (UMLAUT.encode("latin-1"), "text/plain; charset=utf-8"),
    (UMLAUT.encode(), "text/plain; charset=us-ascii"),
    (UMLAUT.encode("utf-16"), "text/plain; charset=utf-16"),
    (b"text", "text/plain; charset=utf-7"),
    (b"text", "text/plain; charset=rot13"),
]


@pytest.mark.parametrize(("body", "kind", "text"), AS_TEXT)
@both_loops
async def test_text_of_a_known_charset_is_kept_as_text(
    body: bytes, kind: str | None, text: str
) -> None:
    response = await kept(typed(body, kind))
    assert (response.body, response.body_base64) == (text, None)
    assert (response.truncated, response.omitted) == (False, None)


@pytest.mark.parametrize(("body", "kind"), AS_BYTES)
@both_loops
async def test_everything_else_is_kept_as_base64(body: bytes, kind: str | None) -> None:
    response = await kept(typed(body, kind))
    assert response.body is None
    assert base64.b64decode(response.body_base64 or "") == body


@both_loops
async def test_two_types_are_none_that_one_can_go_by() -> None:
    for pair in (b"text/plain", b"image/png"), (b"image/png", b"text/plain"):
        response = await kept(raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Type: %b\r\n"
            b"Content-Length: 3\r\n\r\nabc" % pair
        ))  # fmt: skip
        assert response.body_base64 == base64.b64encode(b"abc").decode()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-whatever", "identity, gzip"])
@both_loops
async def test_a_compressed_body_stays_compressed(coding: str) -> None:
    packed = gzip.compress(b"text") if "gzip" in coding else zlib.compress(b"text")
    response = await kept(typed(packed, "text/plain", Content_Encoding=coding))
    assert response.body is None
    assert base64.b64decode(response.body_base64 or "") == packed
    lying = await kept(typed(b"text after all", "text/plain", Content_Encoding=coding))
    assert base64.b64decode(lying.body_base64 or "") == b"text after all"
    plain = await kept(typed(b"text", "text/plain", Content_Encoding="Identity"))
    assert plain.body == "text"


@both_loops
async def test_a_bomb_is_never_inflated() -> None:
    for pointers in ([], ["/a"]):
        tracemalloc.start()
        await kept(
            typed(BOMB, "application/json", Content_Encoding="gzip"), *pointers, capture_max=1 << 20
        )
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 << 20


@both_loops
async def test_a_character_cut_by_the_cap_is_left_out() -> None:
    for kind in (None, "text/plain"):
        response = await kept(typed("ääää".encode(), kind), capture_max=5)
        assert (response.body, response.truncated) == ("ää", True)


@both_loops
async def test_secret_headers_are_masked_whatever_the_target_says() -> None:
    names = ("Set-Cookie", "Authorization", "X-Api-Key", "X-Auth-Token", "x-account", "X-Secret")
    headers = dict.fromkeys(names, SECRET) | {"X-Plain": "shown", "Idempotency-Key": "shown"}
    response = await kept(answer(200, b"", headers))
    assert {response.headers[name.lower()] for name in names} == {"***"}
    assert response.headers["x-plain"] == response.headers["idempotency-key"] == "shown"
    twice = await kept(raw(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSET-COOKIE: b\r\nVia: 1\r\nVia: 2\r\n"
        b"Content-Length: 0\r\n\r\n"
    ))  # fmt: skip
    assert twice.headers["set-cookie"] == "***, ***"
    assert twice.headers["via"] == "1, 2"


JSON = json.dumps({"user": {"token": SECRET, "name": "ä"}, "items": [{"t": SECRET}, 1]}).encode()


@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/problem+json", "text/plain", "image/png"]
)
@both_loops
async def test_parts_of_complete_json_are_masked_whatever_it_is_called(kind: str | None) -> None:
    response = await kept(typed(JSON, kind), "/user/token", "/items/*/t", "/not/there")
    assert response.body is not None
    assert json.loads(response.body) == {
        "user": {"token": "***", "name": "ä"},
        "items": [{"t": "***"}, 1],
    }
    assert (response.body_base64, response.omitted) == (None, None)


@both_loops
async def test_a_member_that_is_there_twice_leaks_in_neither_place() -> None:
    body = f'{{"token": "{SECRET}-1", "token": "{SECRET}-2", "a": 1}}'.encode()
    response = await kept(typed(body, "application/json"), "/token")
    assert response.body is not None
    assert json.loads(response.body) == {"token": "***", "a": 1}


CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(JSON)
NOT_KEPT: dict[str, tuple[Behaviour, str, dict[str, Any]]] = {
    "cut by the cap": (typed(JSON, "application/json"), CUT, {"capture_max": len(JSON) - 1}),
    "a prefix that is JSON": (typed(b"12" + JSON, None), CUT, {"capture_max": 2}),
    "reset inside": (reset(CHUNK + JSON), CUT, {}),
    "never ended": (silence(CHUNK + JSON), CUT, {"total_timeout": 0.3}),
    "compressed": (
        typed(gzip.compress(JSON), "application/json", Content_Encoding="gzip"),
        COMPRESSED,
        {},
    ),
    "invalid": (typed(JSON[:-1], "application/json"), NO_JSON, {}),
    "lines of JSON": (typed(JSON + b"\n" + JSON, "application/x-ndjson"), NO_JSON, {}),
    "a page": (typed(b"<p>" + SECRET.encode(), "text/html"), NO_JSON, {}),
    "a form": (typed(b"t=" + SECRET.encode(), "application/x-www-form-urlencoded"), NO_JSON, {}),
    "of another charset": (typed(JSON.decode().encode("utf-16"), None), NO_JSON, {}),
    "behind a byte order mark": (typed(b"\xef\xbb\xbf" + JSON, "application/json"), NO_JSON, {}),
    "too deep": (typed(b"[" * 4000 + JSON + b"]" * 4000, "application/json"), NO_JSON, {}),
    "a number too far": (typed(b'{"a": NaN, "token": "%b"}' % SECRET.encode(), None), NO_JSON, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_KEPT)
@both_loops
async def test_a_body_that_can_not_be_looked_into_is_not_kept_and_says_so(case: str) -> None:
    behaviour, reason, limits = NOT_KEPT[case]
    response = await kept(behaviour, "/user/token", "/items/*/t", **limits)
    assert (response.body, response.body_base64, response.omitted) == (None, None, reason)
    assert SECRET not in str(response)


@both_loops
async def test_an_empty_body_has_nothing_to_hide() -> None:
    response = await kept(answer(204, b""), "/token")
    assert (response.body, response.omitted) == ("", None)


def test_nothing_is_masked_by_pointer_unless_asked() -> None:
    assert PLAIN.pointers == ()
