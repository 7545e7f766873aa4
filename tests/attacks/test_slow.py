"""Callers who take their time, and many of them: cut off, while the others are answered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from raw import Place, Wire, listening
from scheduler_svc.service.connection import Bounds

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /schedules/preview HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
QUICK = Bounds(head_seconds=0.5, body_seconds=0.5, answer_seconds=0.5)
CUT_SECONDS = 4.0
"""Less than the 5 s after which any idle connection is closed."""
ASKED = 200


@pytest.fixture
async def quick(app: ASGIApp) -> AsyncIterator[Place]:
    """The same with time-outs of half a second."""
    async with listening(app, QUICK) as found:
        yield found


@asynccontextmanager
async def dripping(wire: Wire, data: bytes) -> AsyncIterator[None]:
    """Send the same bytes ten times a second, for as long as the other side takes them."""

    async def drip() -> None:
        while True:
            await wire.send(data)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(drip())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (b"GET /healthz HTTP/1.1\r\nX: ", b"y"),
        (b"", b"\r"),
        (POST + b"Content-Length: 1000\r\n\r\n", b" "),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a"),
        (b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n", b" "),
        (GET + b"GET /healthz HTTP/1.1\r\n", b"X: y\r\n"),
        (GET, b"\r\n"),
    ],
    ids=[
        "silence",
        "blank lines",
        "fields without end",
        "a value without end",
        "half a blank line",
        "a body",
        "a body in chunks",
        "an extension without end",
        "a body that nobody asked for",
        "a second head",
        "blank lines after an answer",
    ],
)
async def test_a_slow_caller_is_cut_off(quick: Place, first: bytes, more: bytes) -> None:
    async with quick.wire() as wire:
        await wire.send(first)
        if not more:
            assert await wire.ends(CUT_SECONDS)
            return
        async with dripping(wire, more):
            assert await wire.ends(CUT_SECONDS)


async def test_a_caller_who_asks_and_asks_is_not_cut_off(quick: Place) -> None:
    async with quick.wire() as wire:
        for _ in range(15):
            await wire.send(GET)
            answer = await wire.answer()
            assert answer is not None
            await asyncio.sleep(0.1)


async def test_an_answer_under_way_is_not_cut_for_the_head_that_follows() -> None:
    told = asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await told.wait()
        fields = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body"})

    async with listening(slow, QUICK) as place, place.wire() as wire:
        await wire.send(GET + b"GET /healthz HTTP/1.1\r\nX: ")
        asyncio.get_running_loop().call_later(3 * QUICK.head_seconds, told.set)
        answer = await wire.answer()
        assert answer is not None
        assert answer.status == 200
        assert await wire.ends(CUT_SECONDS)


async def test_beyond_the_limit_those_that_wait_longest_make_room(app: ASGIApp) -> None:
    async with listening(app, Bounds(connections_max=20)) as place, AsyncExitStack() as stack:
        waiting = []
        for _ in range(60):
            wire = await stack.enter_async_context(place.wire())
            await wire.send(b"GET /healthz HTTP/1.1\r\n")
            waiting.append(wire)
        last = await stack.enter_async_context(place.wire())
        await last.send(GET)
        answer = await last.answer()
        assert answer is not None
        assert answer.status == 200
        for wire in waiting[:40]:
            assert await wire.ends(CUT_SECONDS)


async def test_where_none_waits_a_caller_too_many_is_told_to_come_again(app: ASGIApp) -> None:
    async with listening(app, Bounds(connections_max=3)) as place, AsyncExitStack() as stack:
        for _ in range(3):
            busy = await stack.enter_async_context(place.wire())
            await busy.send(POST + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            told = await busy.answer()
            assert told is not None
            assert told.status == 100
        one = await stack.enter_async_context(place.wire())
        answer = await one.answer()
        assert answer is not None
        assert (answer.status, answer.fields["retry-after"]) == (503, "2")
        assert await one.ends(CUT_SECONDS)


async def test_an_answer_that_nobody_reads_does_not_hold_its_connection(app: ASGIApp) -> None:
    async with listening(app, QUICK) as place, place.wire() as wire:
        wire.look_away()
        # More than all buffers on the way can take: the document has 200 kB.
        await wire.send((b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * ASKED)
        await asyncio.sleep(2)  # the attack itself
        wire.look_again()
        assert len(await wire.answers()) < ASKED


async def test_slow_callers_do_not_keep_the_others(place: Place) -> None:
    async with AsyncExitStack() as stack:
        for number in range(300):
            wire = await stack.enter_async_context(place.wire())
            await wire.send(b"GET /healthz HTTP/1.1\r\nX: y\r\n" if number % 2 else GET)
        loop = asyncio.get_running_loop()
        took = []
        other = await stack.enter_async_context(place.wire())
        for _ in range(50):
            begun = loop.time()
            await other.send(GET)
            assert await other.answer() is not None
            took.append(loop.time() - begun)
    assert sorted(took)[len(took) // 2] < 0.2
