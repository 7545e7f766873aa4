"""Bodies made to hurt: too long, packed, deep, wide, doubled, or no text at all."""

import asyncio
import json
import time
from typing import Any

import pytest

from factories import body
from raw import Answered, Place
from scheduler_svc.store.pool import Pool

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
HEAD = b"POST /jobs HTTP/1.1\r\n" + HOST + JSON
MIB = 1024 * 1024


async def posted(place: Place, text: bytes, *, path: bytes = b"/jobs") -> Answered:
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + JSON
    (answer,) = await place.ask(head + b"Content-Length: %d\r\n\r\n" % len(text) + text)
    return answer


async def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(place: Place) -> None:
    async with place.wire() as wire:
        await wire.send(HEAD + b"Content-Length: %d\r\n\r\n" % (MIB + 1))
        answer = await wire.answer()
    assert answer is not None
    assert answer.status == 413


async def test_a_body_of_chunks_without_end_is_refused_at_the_limit(place: Place) -> None:
    async with place.wire() as wire:
        await wire.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")

        async def pour() -> None:
            while True:
                await wire.send(b"10000\r\n" + b" " * 65536 + b"\r\n")

        pouring = asyncio.create_task(pour())
        answer = await wire.answer()
        pouring.cancel()
        await asyncio.wait([pouring])
    assert answer is not None
    assert answer.status == 413


async def test_a_million_chunks_of_a_byte_cost_little(place: Place) -> None:
    chunks = b"1\r\n \r\n" * 200_000
    begun = time.process_time()
    (answer,) = await place.ask(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    )
    assert answer.status == 400
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-gzip"])
async def test_a_packed_body_is_not_unpacked(place: Place, coding: str) -> None:
    (answer,) = await place.ask(
        HEAD + f"Content-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
    )
    assert answer.status == 415


def named(name: str) -> bytes:
    return json.dumps(body(name="NAME")).replace("NAME", name).encode()


def with_body(value: str) -> bytes:
    target = {"url": "https://example.com/", "body": "BODY"}
    return json.dumps(body(target=target)).replace('"BODY"', value).encode()


HURTFUL = {
    "100,000 arrays": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 arrays that never end": b"[" * 100_000,
    "100,000 arrays in the target's body": with_body("[" * 100_000 + "]" * 100_000),
    "100,000 keys": json.dumps({f"k{n}": 1 for n in range(60_000)}).encode(),
    "a number of 100,000 digits": with_body("9" * 100_000),
    "a priority of 100,000 digits": json.dumps(body())
    .replace("{", '{"priority": ' + "9" * 100_000 + ",", 1)
    .encode(),
    "an exponent beyond all": with_body("1e999999999"),
    "NaN": with_body("NaN"),
    "Infinity": with_body("-Infinity"),
    "a key twice": b'{"name": "a", "name": "b"}',
    "half a surrogate": named("\\ud800"),
    "half a surrogate in the target's body": with_body('"\\ud800"'),
    "a surrogate as bytes": b'{"description": "\xed\xa0\x80"}',
    "a NUL": named("a\\u0000"),
    "a raw NUL": b'{"description": "\0"}',
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(body()).encode(),
    "UTF-16": json.dumps(body()).encode("utf-16"),
    "latin-1": b'{"description": "\xfc"}',
    "a comment": b"{} // x",
    "a trailing comma": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "nothing": b"",
    "white space": b" " * 100_000,
    "a prototype": b'{"__proto__": {"admin": true}}',
    "a constructor": b'{"constructor": {"prototype": {}}}',
    "an instant in the year 10000": json.dumps(
        body(schedule={"at": "+10000-01-01T00:00:00Z"})
    ).encode(),
    "a leap second": json.dumps(body(schedule={"at": "2030-06-30T23:59:60Z"})).encode(),
    "an offset of a day": json.dumps(body(schedule={"at": "2030-06-30T12:00:00+24:00"})).encode(),
    "10,000 wildcards in a cron": json.dumps(body(schedule={"cron": "* " * 10_000})).encode(),
    "a cron of 5,000 digits": json.dumps(body(schedule={"cron": "9" * 5000 + " * * * *"})).encode(),
}


@pytest.mark.parametrize("text", HURTFUL.values(), ids=HURTFUL.keys())
async def test_a_hurtful_body_is_refused_at_little_cost_and_nothing_is_stored(
    place: Place, pool: Pool, text: bytes
) -> None:
    begun = time.process_time()
    answer = await posted(place, text)
    spent = time.process_time() - begun
    assert answer.status in {400, 413, 422}, answer.body[:200]
    assert b"Traceback" not in answer.body
    assert len(answer.body) < 50_000
    assert spent < 1
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize("path", [b"/schedules/preview", b"/jobs/bulk", b"/jobs/bulk-actions"])
@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b"1" * 100_000])
async def test_so_it_is_wherever_a_body_is_taken(place: Place, path: bytes, text: bytes) -> None:
    assert (await posted(place, text, path=path)).status in {400, 422}


@pytest.mark.parametrize("count", [0, -1, 10**9, "many", 1.5])
async def test_a_preview_is_bounded(place: Place, count: Any) -> None:
    text = json.dumps({"schedule": {"cron": "* * * * *"}, "count": count}).encode()
    answer = await posted(place, text, path=b"/schedules/preview")
    assert answer.status == 422


@pytest.mark.parametrize("limit", ["0", "-1", "1000000000", "1e3", "0x10", "", "%00", "1&limit=2"])
async def test_a_page_is_bounded(place: Place, limit: str) -> None:
    (answer,) = await place.ask(f"GET /jobs?limit={limit} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
    assert answer.status == 422


@pytest.mark.parametrize("path", ["/jobs", "/runs"])
@pytest.mark.parametrize("cursor", ["x", "%00", "a" * 5000, "eyJhIjoxfQ", "%ff%fe", "../..", "1"])
async def test_a_cursor_that_was_made_up_is_refused(place: Place, path: str, cursor: str) -> None:
    (answer,) = await place.ask(
        f"GET {path}?cursor={cursor} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    )
    assert answer.status == 422
