"""The reading of one response after another from one connection: bytes in, a verdict out.

`httptools` (llhttp) parses strictly; around it stand the caps on head, body and framing, the rules
of 1xx and of HEAD, and the one question that matters for reuse: did the response end exactly here?
It decodes nothing, touches no socket and knows no clock.
"""

from functools import lru_cache
from typing import NoReturn

import httptools
import msgspec

from scheduler_svc.delivery.exchange import ExchangeOutcome

INFORMATIONAL_MAX = 16
STATUS_MIN, FINAL_MIN, STATUS_MAX = 100, 200, 999
SWITCHING_PROTOCOLS = 101
# One-byte chunks cost six bytes each on the wire; whoever needs more framing than this plays games.
FRAMING_FACTOR = 8
# Heads are remembered, to be read once where they come again: few of them, and none that has many
# headers, for of those 64 KiB take megabytes when read.
KNOWN_HEADS_MAX, KNOWN_HEADERS_MAX = 64, 40
# A response begins with "HTTP/"; the parser would also take RTSP and ICE. Empty lines may precede.
FIRST_OCTETS = b"H\r\n"
END_OF_HEAD = b"\r\n\r\n"
# Answers that came in one piece and ended in it are read by what their heads came to before.
SEEN_HEADS_MAX, SEEN_HEAD_BYTES_MAX = 256, 1024


class _Stop(Exception):
    """Raised in a callback once the verdict stands."""


class SeenHead(msgspec.Struct, frozen=True):
    """What the parser made of a head after which the connection goes on; equal bytes are equal."""

    status: int
    headers: list[tuple[str, str]]
    keep_alive_hint: bytes | None
    length: int
    """Of the body, which this head gives."""


_seen: dict[bytes, SeenHead] = {}
"""By the bytes of the head; the longest there goes first."""


class ResponseReader:
    """The state of the response being read; `outcome` stays None until it ended somehow."""

    __slots__ = (
        "_body",
        "_body_length",
        "_capture_max",
        "_fresh",
        "_head_bytes_max",
        "_head_only",
        "_headers",
        "_informational",
        "_parser",
        "_raw_length",
        "error",
        "exact",
        "keep_alive_hint",
        "outcome",
        "status",
        "truncated",
    )

    def __init__(self, head_bytes_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self._fresh, self._head_only, self._capture_max = False, False, 0
        self.begin(head_only=False, capture_max=0)

    def begin(self, *, head_only: bool, capture_max: int) -> None:
        """Make ready for the response to the request being written."""
        self.keep_alive_hint: bytes | None = None
        if self._fresh and head_only == self._head_only and capture_max == self._capture_max:
            return  # answers that were seen before leave nothing here
        self._fresh = True
        self._head_only = head_only
        self._capture_max = capture_max
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_length = self._raw_length = self._informational = 0
        self.status: int | None = None
        self.outcome: ExchangeOutcome | None = None
        self.error: str | None = None
        self.truncated = False
        self.exact = False  # ended in a frame of its own, nothing after it: the next may follow

    @property
    def untouched(self) -> bool:
        return self._raw_length == 0

    def headers(self) -> list[tuple[str, str]]:
        """Answer the headers of a head that was complete."""
        if self.status is None:
            return []
        few = len(self._headers) <= KNOWN_HEADERS_MAX
        return (_decoded if few else _decoded.__wrapped__)(tuple(self._headers))

    def body(self) -> bytes:
        return b"".join(self._body)

    def release(self) -> None:
        """Part with the parser, which holds this object as this object holds it."""
        del self._parser

    def seen(self, data: bytes) -> SeenHead | None:
        """Return what is known of an answer that is here whole, and ended exactly here; its body
        is the last `length` bytes. None where it has to be read, by `feed`.
        """
        if not self._fresh or self._head_only:
            return None
        end = data.find(END_OF_HEAD) + len(END_OF_HEAD)
        seen = _seen.get(data[:end])
        if seen is None or seen.length != len(data) - end or seen.length > self._capture_max:
            return None
        self.keep_alive_hint = seen.keep_alive_hint
        return seen

    def feed(self, data: bytes) -> None:
        """Read on; afterwards `outcome` tells whether the response ended."""
        first = self._fresh and not self._head_only
        self._fresh = False
        self._parse(data)
        if first:
            self._see(data, data.find(END_OF_HEAD) + len(END_OF_HEAD))

    def _see(self, data: bytes, end: int) -> None:
        """Remember the head of an answer that was one head and its body, and nothing else.

        What is framed in chunks has more bytes than body, and what came before the answer too.
        """
        body = self.body()
        whole = self.exact and self.outcome == "ok" and data[end:] == body
        if not whole or self.status is None or end > SEEN_HEAD_BYTES_MAX:
            return
        if len(_seen) >= SEEN_HEADS_MAX:
            del _seen[next(iter(_seen))]
        _seen[data[:end]] = SeenHead(self.status, self.headers(), self.keep_alive_hint, len(body))

    def _parse(self, data: bytes) -> None:
        if not self._raw_length and data[0] not in FIRST_OCTETS:
            self._end("protocol_error", "malformed response: not HTTP")
            return
        self._raw_length += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fault("switched protocols unasked")
        except httptools.HttpParserCallbackError as fault:
            if not isinstance(fault.__context__, _Stop):
                raise
        except httptools.HttpParserError as fault:
            self._fault(f"malformed response: {fault}")
        else:
            if self.outcome is None or self._head_only:
                self._check_lengths(data)

    def end_of_stream(self, *, clean: bool) -> None:
        """Judge a response that the end of the connection cuts off, or rightly ends."""
        if self.status is None:
            how = "closed" if clean else "reset"
            self._end("connect_error", f"{how} before the response head was complete")
        elif clean and self._until_close():
            self._end("ok", None)
        else:
            self._end("protocol_error", "connection ended inside the response body")

    def refuse(self, error: str) -> None:
        """Judge an end that TLS gave a reason for; a response that had begun stays what it is."""
        if self.outcome == "connect_error":
            self._end("tls_error", error)

    def time_out(self) -> None:
        phase = "the first byte" if self.untouched else "the end of the response"
        self._end("timeout", f"time limit reached before {phase}")

    def _until_close(self) -> bool:
        names = {name.lower(): value.lower() for name, value in self._headers}
        return b"content-length" not in names and b"chunked" not in names.get(
            b"transfer-encoding", b""
        )

    def _check_lengths(self, data: bytes) -> None:
        if self.status is None:
            if self._raw_length > self._head_bytes_max:
                self._end("too_large", f"response head over {self._head_bytes_max} bytes")
        elif self.outcome is None:
            framing_max = self._head_bytes_max + FRAMING_FACTOR * self._capture_max
            if self._raw_length > framing_max:
                self._end("protocol_error", "more framing than body")
        elif self._head_only and not data.endswith(b"\r\n\r\n"):
            self.exact = False

    def _fault(self, error: str) -> None:
        """A fault after the end spoils the connection, not the response."""
        if self.outcome is None:
            self._end("protocol_error", error)
        self.exact = False

    def _end(self, outcome: ExchangeOutcome, error: str | None) -> None:
        self._fresh = False
        self.outcome = outcome
        self.error = error

    def _stop(self, outcome: ExchangeOutcome, error: str | None) -> NoReturn:
        self._end(outcome, error)
        self.exact = False
        raise _Stop

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        if self.outcome is not None:
            self.exact = False  # more than was asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.status is None:  # else a trailer, which nobody asked for
            self._headers.append((name, value))
            if len(name) == 10 and name.lower() == b"keep-alive":  # noqa: PLR2004
                self.keep_alive_hint = value

    def on_headers_complete(self) -> None:
        if self._raw_length > self._head_bytes_max:
            self._check_head()
        status = self._parser.get_status_code()
        if not STATUS_MIN <= status <= STATUS_MAX or status == SWITCHING_PROTOCOLS:
            self._stop("protocol_error", f"malformed response: status {status:03d}")
        if self._parser.get_http_version() not in {"1.1", "1.0"}:
            self._stop("protocol_error", "malformed response: not HTTP/1")
        if status < FINAL_MIN:
            self._forget_informational()
            return
        self.status = status
        if self._head_only:
            self._end("ok", None)
            self.exact = self._parser.should_keep_alive()
            # This parser waits for a body that never comes.
            self._parser = httptools.HttpResponseParser(self)

    def _check_head(self) -> None:
        """Measure a head that came in one piece with what follows it."""
        length = sum(len(name) + len(value) + 4 for name, value in self._headers)
        if length > self._head_bytes_max:
            self._stop("too_large", f"response head over {self._head_bytes_max} bytes")

    def _forget_informational(self) -> None:
        """Drop a 1xx answer: there may be a few, and none has a body (RFC 9110, 15.2)."""
        self._informational += 1
        names = {name.lower() for name, _ in self._headers}
        if self._informational > INFORMATIONAL_MAX:
            self._stop("protocol_error", f"more than {INFORMATIONAL_MAX} informational responses")
        if names & {b"content-length", b"transfer-encoding"}:
            self._stop("protocol_error", "malformed response: 1xx with a body")
        self._headers.clear()

    def on_chunk_header(self) -> None:
        if self.outcome is not None:
            self.exact = False

    def on_body(self, part: bytes) -> None:
        if self.outcome is not None:
            self._stop(self.outcome, self.error)
        room = self._capture_max - self._body_length
        self._body_length += len(part)
        if room < len(part):
            self._body.append(part[:room])  # a copy: the whole piece may be thirty times that
            self.truncated = True
            self._stop("ok", None)
        self._body.append(part)

    def on_message_complete(self) -> None:
        if self.status is not None and self.outcome is None:
            self.outcome = "ok"
            self.exact = self._parser.should_keep_alive()


@lru_cache(maxsize=KNOWN_HEADS_MAX)
def _decoded(headers: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    """Decode headers once where answers have the same, as those of one second often do."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
