"""One connection of a caller: uvicorn's, with the bounds that it has no knob for.

Promises that nobody holds one for long without asking for something: a head must be complete within
`head_seconds`, its body within `body_seconds`, an answer read within `answer_seconds`; that a head
has a bounded size and number of fields; that fields after a body (trailers) count for nothing; that
an HTTP/1.1 request names one host; and that beyond `connections_max` those that wait longest for
nothing make room.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from scheduler_svc.service.cycle import Cycle

REFUSED = {
    400: b"This is not a valid HTTP request.",
    431: b"The head of the request is too large.",
    503: b"There are too many connections.",
}
PHRASES = {
    400: b"Bad Request",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


Fields = list[tuple[bytes, bytes]]
_JUDGED = frozenset({b"host", b"content-length", b"transfer-encoding"})
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]{1,262}")
"""What a host may be written with, its port included (RFC 3986, 3.2.2)."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may take, and how many there may be."""

    head_seconds: float = 10.0
    body_seconds: float = 35.0  # a route gives a body 30 s; this is for those that take none
    answer_seconds: float = 60.0
    head_max: int = 64 * 1024
    fields_max: int = 100
    connections_max: int = 2000


class Doors:
    """The connections that wait for a request, oldest first: they go when there are too many.

    `usual` gives the fields that every answer has.
    """

    def __init__(self, bounds: Bounds, usual: Callable[[], Fields] = list) -> None:
        self.bounds, self.usual = bounds, usual
        self.waiting: OrderedDict[Connection, None] = OrderedDict()

    def make_room(self, count: int) -> bool:
        """Let a waiting connection go where there are too many; False where none waits."""
        if count <= self.bounds.connections_max:
            return True
        if not self.waiting:
            return False
        oldest, _ = self.waiting.popitem(last=False)
        oldest.transport.abort()
        return True


class Unreadable(Exception):
    """A head that is refused; raised through the parser."""


class Connection(HttpToolsProtocol):
    """A connection that is bounded in time and size."""

    def __init__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], doors: Doors
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._doors, self._bounds = doors, doors.bounds
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._in_head = self._in_body = self._answering = False
        self._head_length = 0
        self._status = 400

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._doors.make_room(len(self.connections)):
            self._refuse(503)
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._doors.waiting.pop(self, None)
        self._disarm()
        if self._stall is not None:
            self._stall.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        was_in_head = self._in_head
        super().data_received(data)
        if self._in_head and was_in_head:
            self._head_length += len(data)
            if self._head_length > self._bounds.head_max:
                self._refuse(431)
        if self._timer is None and (self._in_head or not (self._in_body or self._answering)):
            self._wait()  # a head is under way; or what came was no request yet: blank lines

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_length = True, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: whoever judged the head has not seen it
        self._head_length += len(name) + len(value)
        if len(self.headers) >= self._bounds.fields_max:
            self._raise(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        parser, headers = self.parser, self.headers
        if self._head_length + len(self.url) > self._bounds.head_max:
            self._raise(431)
        version, upgrade = parser.get_http_version(), parser.should_upgrade()
        judged = [field for field in headers if field[0] in _JUDGED]
        if not _is_framed(judged, version, upgrade=upgrade):
            self._raise(400)
        if not _names_one_host(judged, self.url, version):
            self._raise(400)
        self._in_head, self._in_body = False, True
        self._doors.waiting.pop(self, None)
        self._answering = True
        bodied = any(name != b"host" for name, _ in judged)
        if upgrade or bodied or self._timer is not None:  # a body may follow
            self._arm(self._bounds.body_seconds)
        self._begin(version, parser.should_keep_alive() and not upgrade and version != "1.0")

    def _begin(self, version: str, keep_alive: bool) -> None:  # noqa: FBT001
        """Hand the request to the application, after those before it on this connection.

        After a head that asks for an upgrade the parser reads nothing, so that ends here.
        """
        url, scope = httptools.parse_url(self.url), self.scope
        raw_path = url.path
        path = raw_path.decode("ascii")
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = url.query or b""
        before: Any = self.cycle  # none before the first
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self._doors.usual(),
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        self._in_body = False
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answering = bool(self.pipeline)
        super().on_response_complete()
        if self._in_body or self._in_head or self._answering:
            return
        if self.transport.get_write_buffer_size():
            self._arm(self._bounds.answer_seconds)
        elif not self.transport.is_closing():
            self._doors.waiting[self] = None  # uvicorn's own timer runs

    def pause_writing(self) -> None:
        """Give the caller a while to read what is on its way."""
        super().pause_writing()
        self._stall = self.loop.call_later(self._bounds.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def send_400_response(self, msg: str) -> None:
        """Answer what can not be read; an answer that is under way ends first, and is the last."""
        del msg
        if self._answering and not self._in_body:
            self.cycle.keep_alive = False
            self.flow.pause_reading()
            return
        self._refuse(self._status)

    def _wait(self) -> None:
        if not self._answering:
            self._doors.waiting[self] = None
        self._arm(self._bounds.head_seconds)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._end)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        """Cut the connection: whoever is that slow reads no farewell either."""
        self._timer = None
        if self._in_head and self._answering:
            self._wait()  # the next head has the time after the answer: we may not have read on
        else:
            self.transport.abort()

    def _raise(self, status: int) -> None:
        self._status = status
        raise Unreadable

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        text = REFUSED[status]
        fields = (
            b"HTTP/1.1 %d %b" % (status, PHRASES[status]),
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(text),
            b"cache-control: no-store",
            b"x-content-type-options: nosniff",
            *((b"retry-after: 2",) if status == 503 else ()),  # noqa: PLR2004 - as above
            b"connection: close",
        )
        self.transport.write(b"\r\n".join((*fields, b"", text)))
        self.transport.close()
        self._arm(self._bounds.head_seconds)


def _is_framed(headers: Fields, version: str, *, upgrade: bool) -> bool:
    """Tell whether anybody in front of us must have seen the same end of the body (RFC 9112, 6).

    The parser has refused what is ambiguous; this is what it takes and others may take otherwise:
    codings beside chunked, chunked in HTTP/1.0, and a body after a head that asks for an upgrade.
    """
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    chunked = [value.strip(b" \t").lower() for value in codings] == [b"chunked"]
    if version not in {"1.0", "1.1"} or (codings and not (chunked and version == "1.1")):
        return False
    lengths = [value for name, value in headers if name == b"content-length"]
    return not (upgrade and (codings or any(length.strip(b"0 \t") for length in lengths)))


def _names_one_host(headers: Fields, url: bytes, version: str) -> bool:
    """Tell whether a request names one host, and asks for a path there (RFC 9112, 3.2)."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) != 1:
        return not hosts and version == "1.0" and url.startswith(b"/")
    if not _HOST.fullmatch(hosts[0]) or b"#" in url:  # a fragment is never sent, but to mislead
        return False
    if url.startswith(b"/") or url == b"*":
        return True
    scheme, mark, rest = url.partition(b"://")
    named = rest.partition(b"/")[0].partition(b"?")[0]
    return (
        bool(mark) and scheme.lower() in {b"http", b"https"} and named.lower() == hosts[0].lower()
    )
