"""Replies on the wire: values become bytes and headers here and nowhere else."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Send

from scheduler_svc.api.context import Reply

BODILESS = frozenset({204, 304})
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


def encoded(body: Any) -> bytes:
    """Return a body as bytes: JSON, unless it is bytes already."""
    return body if isinstance(body, bytes) else _ENCODER.encode(body)


def _fields(reply: Reply) -> list[tuple[str, str]]:
    fields: Mapping[str, str] = reply.headers
    return list(fields.items())
