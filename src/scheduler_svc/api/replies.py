"""Replies on the wire: values become bytes and headers here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from scheduler_svc.api.context import Reply

BODILESS = frozenset({204, 304})
TAKE_SECONDS = 30.0
"""How long one who is sent a stream may take nothing of it."""
NOTHING: tuple[bytes, ...] = ()
_ENCODER = msgspec.json.Encoder()


async def send_reply(reply: Reply, send: Send) -> None:
    """Send a reply; where HEAD asked, the server leaves the body out and the headers stay."""
    body = b"" if reply.status in BODILESS else encoded(reply.body)
    headers = [(name.lower().encode(), text.encode("latin-1")) for name, text in _fields(reply)]
    if reply.status not in BODILESS:
        headers.append((b"content-type", reply.media_type.encode()))
        headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_stream(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a reply piece by piece, and end it when the caller leaves or takes nothing any more."""
    if reply.stream is None:
        return

    async def within(message: Message) -> None:
        async with asyncio.timeout(TAKE_SECONDS):
            await send(message)

    head = scope["method"] == "HEAD"
    headers = dict(reply.headers)
    try:
        with suppress(TimeoutError):
            answer = StreamingResponse(
                _nothing() if head else reply.stream, reply.status, headers, reply.media_type
            )
            await answer(scope, receive, within)
    finally:
        await reply.stream.aclose()


async def _nothing() -> AsyncIterator[bytes]:
    """Be the body of an answer to HEAD."""
    for piece in NOTHING:
        yield piece


def encoded(body: Any) -> bytes:
    """Return a body as bytes: JSON, unless it is bytes already."""
    return body if isinstance(body, bytes) else _ENCODER.encode(body)


def _fields(reply: Reply) -> list[tuple[str, str]]:
    fields: Mapping[str, str] = reply.headers
    return list(fields.items())
