"""Requests whose end or aim could be read in two ways: refused and cut off, never guessed.

Answers are counted by `Place.ask`: a request smuggled in would be one answer more.
"""

import pytest

from raw import Place

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /schedules/preview HTTP/1.1\r\n" + HOST + JSON
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
CHUNKED = b"2\r\n{}\r\n0\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /jobs HTTP/1.1\r\n" + HOST + b"\r\n"

TWO_ENDS = {
    "CL.TE": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + SMUGGLED,
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "+2": POST + b"Content-Length: +2\r\n\r\n{}",
    "0x2": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "-1": POST + b"Content-Length: -1\r\n\r\n{}",
    "2 2": POST + b"Content-Length: 2 2\r\n\r\n{}",
    "no length": POST + b"Content-Length: \r\n\r\n{}",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n{}",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKED,
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "chunked and identity": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
    + CHUNKED,
    "x and chunked": POST + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKED,
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + CHUNKED,
    "a folded field": GET + b"X-A: b\r\n c\r\n\r\n",
    "a field that begins with a space": b"GET /healthz HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "one bare LF": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare CR": b"GET /healthz HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "NUL in a value": GET + b"X: a\0b\r\n\r\n",
    "NUL in a name": GET + b"X\0: a\r\n\r\n",
    "chunks by LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "LF in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\n{}\r\n0\r\n\r\n",
    "a chunk of 0x2": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "a chunk of -1": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    "a chunk that is longer": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /schedules/preview HTTP/1.0\r\n"
    + HOST
    + JSON
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + CHUNKED,
    "a body after an upgrade": POST
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
    "chunks after an upgrade": POST
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKED,
}


@pytest.mark.parametrize("data", TWO_ENDS.values(), ids=TWO_ENDS.keys())
async def test_a_request_whose_end_could_be_elsewhere_is_refused_and_cut_off(
    place: Place, data: bytes
) -> None:
    (answer,) = await place.ask(data)
    assert (answer.status, answer.fields["connection"]) == (400, "close")
    assert answer.body == b"This is not a valid HTTP request."


ONE_END = {
    "a tab before the coding": (POST + b"Transfer-Encoding:\tchunked\r\n\r\n" + CHUNKED, [422]),
    "an extension": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n",
        [422],
    ),
    "a body where none is asked for": (GET + b"Content-Length: 3\r\n\r\nabc", [200]),
    "three at once": ((GET + b"\r\n") * 3, [200, 200, 200]),
    "blank lines before": (b"\r\n" * 20 + GET + b"\r\n", [200]),
    "more after the last": (GET + b"Connection: close\r\n\r\n" + GET + b"\r\n", [200]),
    "more after an upgrade": (
        GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET + b"\r\n",
        [200],
    ),
    "an answer ends before nonsense after it": (GET + b"\r\nNONSENSE\r\n\r\n", [200]),
    "two answers end before nonsense": ((GET + b"\r\n") * 2 + b"NONSENSE\r\n\r\n", [200, 200]),
}


@pytest.mark.parametrize(("data", "statuses"), ONE_END.values(), ids=ONE_END.keys())
async def test_there_are_as_many_answers_as_requests(
    place: Place, data: bytes, statuses: list[int]
) -> None:
    assert [answer.status for answer in await place.ask(data)] == statuses


async def test_fields_after_a_body_count_for_nothing(place: Place) -> None:
    trailers = b"X-Request-ID: smuggled\r\nHost: evil.example\r\nAuthorization: Bearer x\r\n"
    (answer,) = await place.ask(
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n"
    )
    assert answer.status == 422
    assert answer.fields["x-request-id"] != "smuggled"


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://evil.example/healthz HTTP/1.1",
        b"GET http://localhost@evil.example/healthz HTTP/1.1",
        b"GET http://localhost.evil.example/healthz HTTP/1.1",
        b"GET ftp://localhost/healthz HTTP/1.1",
        b"GET localhost/healthz HTTP/1.1",
        b"GET /healthz#fragment HTTP/1.1",
        b"GET /jobs/\xff HTTP/1.1",
        b"GET /jobs/a b HTTP/1.1",
        b"CONNECT localhost:80 HTTP/1.1",
        b"GET /healthz HTTP/2.0",
        b"GET /healthz HTTP/1.9",
        b"GET /healthz HTTP/11",
        b"get /healthz HTTP/1.1",
        b"FOO /healthz HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_an_aim_that_is_none_is_refused(place: Place, line: bytes) -> None:
    (answer,) = await place.ask(line + b"\r\n" + HOST + b"\r\n")
    assert (answer.status, answer.fields["connection"]) == (400, "close")


@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host:\r\n",
        HOST + HOST,
        HOST + b"Host: evil.example\r\n",
        b"Host: localhost evil.example\r\n",
        b"Host: localhost/evil\r\n",
        b"Host: user@localhost\r\n",
        b"Host: localhost, evil.example\r\n",
        b"Host: lo\tcalhost\r\n",
        b"Host: " + b"a" * 300 + b"\r\n",
    ],
)
async def test_a_request_names_exactly_one_host(place: Place, hosts: bytes) -> None:
    (answer,) = await place.ask(b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer.status in {400, 421}
    assert answer.status == 400 or b"," in hosts


async def test_the_host_of_an_absolute_aim_is_the_one_that_is_named(place: Place) -> None:
    (answer,) = await place.ask(b"GET http://localhost/healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/docs/../jobs",
        "/docs/assets/../../app.py",
        "/docs/assets/%2e%2e/%2e%2e/app.py",
        "/docs/assets/..%2f..%2fapp.py",
        "/docs/assets/..%5c..%5capp.py",
        "/docs/assets//etc/passwd",
        "//jobs",
        "/./jobs",
        "/jobs/",
        "/jobs%2f",
        "/jobs%00",
        "/jobs/%00",
        "/jobs;x=y",
        "/jobs/%zz%f",
        "/jobs/%ff%fe",
        "/jobs/%ed%a0%80",
        "/jobs/%252e%252e",
        "/" + "a" * 8192,
        "/%6a%6f%62%73/%2e%2e",
    ],
)
async def test_a_path_means_one_thing_or_nothing(place: Place, path: str) -> None:
    (answer,) = await place.ask(f"GET {path} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert (answer.status, b'"not_found"' in answer.body) == (404, True)


@pytest.mark.parametrize("method", ["TRACE", "PURGE", "PROPFIND", "LINK", "SEARCH"])
async def test_no_other_method_does_anything(place: Place, method: str) -> None:
    (answer,) = await place.ask(f"{method} /healthz HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "name", [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override", b"X-Original-URL"]
)
async def test_nothing_overrides_method_or_path(place: Place, name: bytes) -> None:
    made = await place.ask(b"GET /jobs/a HTTP/1.1\r\n" + HOST + name + b": DELETE\r\n\r\n")
    assert [answer.status for answer in made] == [404]
    posted = await place.ask(
        b"POST /healthz HTTP/1.1\r\n" + HOST + name + b": GET\r\nContent-Length: 0\r\n\r\n"
    )
    assert [answer.status for answer in posted] == [405]


async def test_head_has_the_fields_and_no_body(place: Place) -> None:
    async with place.wire() as wire:
        await wire.send(b"HEAD /jobs HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"\r\n")
        head, after = await wire.answer("HEAD"), await wire.answer()
    assert head is not None
    assert after is not None
    assert (head.status, after.status) == (200, 200)
    assert int(head.fields["content-length"]) > 0


@pytest.mark.parametrize(
    "head",
    [
        GET + b"".join(b"X-%d: y\r\n" % number for number in range(200)),
        GET + b"X: " + b"y" * 300_000 + b"\r\n",
        b"GET /jobs?" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST,
        GET + b"Y" * 70_000 + b": x\r\n",
    ],
    ids=["many fields", "a long value", "a long query", "a long name"],
)
async def test_a_head_that_is_too_large_is_431_and_the_end(place: Place, head: bytes) -> None:
    (answer,) = await place.ask(head + b"\r\n")
    assert (answer.status, answer.fields["connection"]) == (431, "close")


async def test_what_is_refused_before_it_is_a_request_tells_nothing_of_us(place: Place) -> None:
    (answer,) = await place.ask(b"NONSENSE\r\n\r\n")
    assert set(answer.fields) == {
        *("content-type", "content-length", "cache-control", "x-content-type-options"),
        "connection",
    }
