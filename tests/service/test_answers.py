"""How answers leave a connection: in one piece where they may, and never with what ends a head."""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from scheduler_svc.service.connection import Bounds, Connection, Doors

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = asyncio.Event()
        self.ended = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def answers(request: bytes, *messages: dict[str, Any]) -> Wire:
    """Return what leaves when an application answers a request with these messages."""
    done = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        finally:
            done.set()

    config = uvicorn.Config(app, lifespan="off", log_config=None, http="httptools")
    config.load()
    state, wire = ServerState(), Wire()
    made = Connection(config, state, {}, Doors(Bounds()))
    made.connection_made(wire)
    made.data_received(request)
    async with asyncio.timeout(30):
        await done.wait()
        await asyncio.gather(*state.tasks)
    wire.ended = wire.is_closing()
    made.connection_lost(None)
    return wire


def head(*fields: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_an_answer_of_known_length_is_one_write() -> None:
    wire = await answers(GET, head((b"content-length", b"2"), (b"x-a", b"1")), body(b"ok"))
    assert wire.pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nok"]
    assert not wire.ended


async def test_the_last_answer_of_a_connection_says_so() -> None:
    closing = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    wire = await answers(closing, head((b"content-length", b"0")), body(b""))
    assert wire.pieces == [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
    assert wire.ended


async def test_the_head_of_a_stream_is_not_held_back() -> None:
    wire = await answers(GET, head((b"content-type", b"text/event-stream")))
    assert wire.pieces[0].startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")


async def test_an_old_request_may_name_a_body_and_no_host() -> None:
    request = b"POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\na"
    wire = await answers(request, head((b"content-length", b"2")), body(b"ok"))
    assert wire.pieces[0].startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_head_request_gets_the_length_and_no_body() -> None:
    request = GET.replace(b"GET", b"HEAD")
    wire = await answers(request, head((b"content-length", b"2")), body(b"ok"))
    assert b"".join(wire.pieces) == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


async def test_an_answer_without_a_body_needs_no_length() -> None:
    wire = await answers(GET, head(status=304), body(b""))
    assert b"".join(wire.pieces) == b"HTTP/1.1 304 Not Modified\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx-b: 2", b"a\nb", b"a\rb", b"a\0b", b"a\x7f"])
async def test_a_field_that_would_end_the_head_is_not_sent(value: bytes) -> None:
    wire = await answers(GET, head((b"content-length", b"2"), (b"x-a", value)), body(b"ok"))
    sent = b"".join(wire.pieces)
    assert sent.startswith(b"HTTP/1.1 500 ")
    assert b"x-a" not in sent


async def test_a_body_of_another_length_than_was_said_is_not_sent_as_if_it_were_whole() -> None:
    wire = await answers(GET, head((b"content-length", b"2")), body(b"longer"))
    assert b"longer" not in b"".join(wire.pieces)
    assert wire.ended
