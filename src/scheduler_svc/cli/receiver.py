"""One connection of the local receiver: reads requests with httptools, answers each as told.

Promises keep-alive, answers in the order of the requests, and a bound on what it holds of a body.
Not a server for anything else: no pipelining in parallel, no limits on time.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple

import httptools

from scheduler_svc.cli.arrival import Arrival, now

BODY_MAX = 1_048_576
BODILESS = frozenset({204, 304})


class Answer(NamedTuple):
    """How every request is answered."""

    status: int
    delay_seconds: float
    hang_up: bool


class Receiver(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, answer: Answer, on_arrival: Callable[[Arrival], object]) -> None:
        self._answer = answer
        self._on_arrival = on_arrival
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._begin()

    def _begin(self) -> None:
        self._path = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - tells the type checker
        self._transport = transport

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._close()  # we speak nothing else
        except httptools.HttpParserError:
            self._write(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            )
            self._close()

    def on_url(self, part: bytes) -> None:
        self._path += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))
        if name.lower() == b"expect":
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body += part[: BODY_MAX - len(self._body)]

    def on_message_complete(self) -> None:
        answered = "hang up" if self._answer.hang_up else str(self._answer.status)
        method = self._parser.get_method().decode("latin-1")
        path = self._path.decode("latin-1")
        headers = tuple(self._headers)
        self._on_arrival(Arrival(now(), method, path, headers, bytes(self._body), answered))
        keep = self._parser.should_keep_alive()
        self._begin()
        asyncio.get_running_loop().call_later(
            self._answer.delay_seconds, self._reply, method == "HEAD", keep
        )

    def _reply(self, bodiless: bool, keep: bool) -> None:  # noqa: FBT001 - call_later has no names
        if not self._answer.hang_up:
            self._write(response(self._answer.status, bodiless=bodiless, keep=keep))
        if self._answer.hang_up or not keep:
            self._close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def response(status: int, *, bodiless: bool, keep: bool) -> bytes:
    """Write the answer; its body is the status in words, where one may be sent."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Unknown"
    body = f"{phrase}\n".encode()
    lines = [f"HTTP/1.1 {status} {phrase}", "Content-Type: text/plain; charset=utf-8"]
    if status not in BODILESS:
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: keep-alive" if keep else "Connection: close")
    head = "\r\n".join(lines).encode() + b"\r\n\r\n"
    return head if bodiless or status in BODILESS else head + body
