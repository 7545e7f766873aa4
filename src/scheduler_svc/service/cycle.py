"""One request and its answer on a connection: uvicorn's, with the answer written at once.

Promises one write for an answer of known length: head and body in two would be two calls of the
system, and the caller woken twice. Refuses, as uvicorn does, a field that would end the head.
Will not hold back the head of a stream.
"""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_LINES = {one.value: b"HTTP/1.1 %d %b" % (one, one.phrase.encode()) for one in HTTPStatus}
_LENGTH = b"content-length"
_FRAMING = frozenset({_LENGTH, b"transfer-encoding", b"connection"})
_CONTROL = bytes({*range(32), 127} - set(b"\t\r\n"))


class Cycle(RequestResponseCycle):
    """A request whose answer is sent in one piece where it may be."""

    _held: Any = None
    """What begins an answer of known length, until its body comes."""

    async def send(self, message: Any) -> None:
        """Take what the application answers; raises what uvicorn raises."""
        if message["type"] == "http.response.start":
            if not self.response_started and _is_sized(message["headers"]):
                self._held = message
                return
        elif (held := self._held) is not None:
            self._held = None
            body = message.get("body", b"")
            if not message.get("more_body", False) and self._is_whole(held, body):
                self._write(held, body)
                return
            await super().send(held)
        await super().send(message)

    def _is_whole(self, head: Any, body: bytes) -> bool:
        """Tell whether an answer is plain, and goes out at once."""
        if self.disconnected or self.flow.write_paused:
            return False
        for name, value in head["headers"]:
            if name in _FRAMING and (name != _LENGTH or int(value) != len(body)):
                return False
        return self.scope["method"] != "HEAD"

    def _write(self, head: Any, body: bytes) -> None:
        lines = [_LINES[head["status"]]]
        lines += [b"%b: %b" % field for field in self.default_headers]
        lines += [b"%b: %b" % field for field in head["headers"]]
        if not self.keep_alive:
            lines.append(b"connection: close")
        text, breaks = b"\r\n".join(lines), len(lines) - 1
        ended = text.count(b"\n") != breaks or text.count(b"\r") != breaks
        if ended or len(text.translate(None, _CONTROL)) != len(text):
            raise RuntimeError("a field of an answer holds what no field may")
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.message_event.set()
        self.transport.write(b"%b\r\n\r\n%b" % (text, body))
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _is_sized(fields: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether an answer says how long its body is, so that the body comes at once."""
    return any(name == _LENGTH for name, _ in fields)
