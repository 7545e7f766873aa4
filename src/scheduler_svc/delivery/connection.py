"""One connection to a target: it writes a request, reads the response, keeps the time limits.

At most one call at a time, never pipelined, and nothing is ever written twice: a connection that
ends under a call ends the call. One timer serves all phases; it is moved only when it must come
earlier, so a call on a warm connection usually touches no timer at all.
"""

import asyncio
import re
import select
import ssl
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from scheduler_svc.delivery import tls
from scheduler_svc.delivery.call import Call
from scheduler_svc.delivery.exchange import Exchange, Timing, Withheld
from scheduler_svc.delivery.response import ResponseReader, SeenHead

if TYPE_CHECKING:
    from scheduler_svc.delivery.origin import Origin

# Servers that send no Keep-Alive header close idle connections after 2 s (gunicorn), 5 s (uvicorn)
# or a minute (nginx), and schedules like round numbers: reuse stays clear of those instants.
UNHINTED_IDLE_SECONDS: Final = 1.5
HINT_MARGIN_SECONDS: Final = 1.0
# Younger than this, an idle connection is not asked whether it is still there.
FRESH_SECONDS: Final = 0.05
HINT = re.compile(rb"timeout\s*=\s*(\d{1,6})", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """A transport, its reader and the call it serves now."""

    __slots__ = (
        "_deadline",
        "_descriptor",
        "_first_byte",
        "_idle_since",
        "_reader",
        "_served",
        "_timer",
        "_timer_at",
        "_transport",
        "_unwritten",
        "call",
        "loop",
        "origin",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, origin: "Origin", head_bytes_max: int
    ) -> None:
        self.loop = loop
        self.origin = origin
        self.call: Call | None = None
        self._reader = ResponseReader(head_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = self._idle_since = self._first_byte = 0.0
        self._descriptor = -1
        self._served = 0
        self._unwritten = False

    # The life of a call.

    def start(self, call: Call) -> None:
        """Take a call; it is answered an Exchange, or Withheld where it may be written no more.

        On a connection that has served before the request is written together with others
        (`Pool.write_soon`), on a new one at once.
        """
        transport = self._transport
        self._reader.begin(head_only=call.head_only, capture_max=call.body_cap)
        self._first_byte = 0.0
        if transport is None or transport.is_closing():  # the peer was quick to go
            self._reader.end_of_stream(clean=True)
            may = call.may_write is None or call.may_write()
            said = self._exchange(call, self._reader) if may else Withheld()
            self.origin.ended(self, reusable=False)
            call.answer(said)
            return
        self.call = call
        call.connection = self
        self._unwritten = True
        deadline = self.loop.time() + call.first_byte_timeout
        self._deadline = deadline = min(deadline, call.deadline)
        if self._timer is None or deadline < self._timer_at:
            self._watch(deadline)
        if self._served:
            self.origin.write_soon(self)
        else:
            self.write()

    def write(self) -> None:
        """Write the request of the call that was taken, if it still may be."""
        call, transport = self.call, self._transport
        if call is None or not self._unwritten:
            return  # it was cancelled, or has gone elsewhere
        if transport is None or transport.is_closing():
            return  # the loop is about to say that the connection is lost
        self._unwritten = False
        if call.may_write is not None and not call.may_write():
            self.call = None
            self.close(polite=False)
            self.origin.ended(self, reusable=False)
            call.answer(Withheld())
            return
        call.written = perf_counter()
        transport.write(call.payload)

    def _go_elsewhere(self) -> None:
        """Give a call back of which nothing was written yet: it dials, and keeps its slot."""
        call, self.call = self.call, None
        self.close(polite=False)
        if call is not None:
            call.connection = None
            call.answer(None)

    def abandon(self, call: Call) -> None:
        """End the connection under a call that was cancelled."""
        if self.call is call:
            self.call = None
            self.close(polite=False)
            self.origin.ended(self, reusable=False)

    def _finish(self) -> None:
        call, reader = self.call, self._reader
        if call is not None:
            # Before the next call is started, for that makes the reader new.
            self._end(call, self._exchange(call, reader), exact=reader.exact)

    def _end(self, call: Call, exchange: Exchange, *, exact: bool) -> None:
        """Hand the connection on, and then the answer to who waits for it."""
        transport = self._transport
        if transport is None:
            return
        self.call = None
        self._served += 1
        # An answer that came before the request was all written leaves the rest in the way.
        done = exchange.outcome == "ok" and not transport.get_write_buffer_size()
        reusable = done and exact and not transport.is_closing()
        if not reusable:
            self.close(polite=done and not exchange.truncated)
        self.origin.ended(self, reusable=reusable)
        call.answer(exchange)

    def _seen_exchange(self, call: Call, seen: SeenHead, data: bytes) -> Exchange:
        """Make the exchange of an answer that came in one piece, under a head that is known."""
        now, dialled = perf_counter(), call.dial_timing
        first_byte_ms = (now - call.written) * 1000
        return Exchange(
            "ok",
            seen.status,
            seen.headers,
            data[len(data) - seen.length :],
            False,  # noqa: FBT003 - by place, on the path of every fire
            None,
            Timing(None, None, None, first_byte_ms)
            if dialled is None
            else Timing(dialled.dns_ms, dialled.connect_ms, dialled.tls_ms, first_byte_ms),
            (now - call.started) * 1000,
            self._served > 0,
        )

    def _exchange(self, call: Call, reader: ResponseReader) -> Exchange:
        now = perf_counter()
        dialled = call.dial_timing
        first_byte_ms = (self._first_byte - call.written) * 1000 if self._first_byte else None
        return Exchange(
            reader.outcome or "protocol_error",
            reader.status,
            reader.headers(),
            reader.body(),
            reader.truncated,
            reader.error,
            Timing(None, None, None, first_byte_ms)
            if dialled is None
            else Timing(dialled.dns_ms, dialled.connect_ms, dialled.tls_ms, first_byte_ms),
            (now - call.started) * 1000,
            self._served > 0,
        )

    # The life between calls.

    def park(self, idle_seconds_max: float) -> bool:
        """Wait for another call; False when that is pointless, for the target closes too soon."""
        hint = self._reader.keep_alive_hint
        seconds = min(idle_seconds_max, _hinted_seconds(hint) if hint else UNHINTED_IDLE_SECONDS)
        if seconds <= 0:
            return False
        self._idle_since = self.loop.time()
        self._watch(self._idle_since + seconds)
        return True

    def is_fit(self) -> bool:
        """Tell whether a parked connection may carry a call: not expired, not closed, silent."""
        transport, now = self._transport, self.loop.time()
        if transport is None or transport.is_closing() or now >= self._deadline:
            return False
        return now - self._idle_since < FRESH_SECONDS or not _has_something(self._descriptor)

    def close(self, *, polite: bool = True) -> None:
        """Give the connection up; `polite` lets TLS say goodbye, else it is cut."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            if polite:
                self._transport.close()
            else:
                self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._descriptor = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        call, reader = self.call, self._reader
        if call is None or self._unwritten:  # nobody asked
            self._go_elsewhere()
            return
        if not self._first_byte:
            seen = reader.seen(data)
            if seen is not None:
                self._end(call, self._seen_exchange(call, seen, data), exact=True)
                return
            self._first_byte = perf_counter()
            self._deadline = call.deadline
        reader.feed(data)
        if reader.outcome is not None:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._unwritten and self._served:
            self._go_elsewhere()
        if self.call is not None:
            self._reader.end_of_stream(clean=exc is None)
            if isinstance(exc, ssl.SSLError):
                # With TLS 1.3 a server refuses our certificate only after the handshake.
                self._reader.refuse(tls.reason(exc))
            self._finish()
        else:
            self.origin.lost(self)
        self.close()
        self._transport = None
        self._reader.release()
        self.origin.closed(self)

    def _watch(self, deadline: float) -> None:
        """Set the instant at which `_on_timer` acts; an earlier timer is re-armed when it rings."""
        self._deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self.loop.time() < self._deadline:
            self._watch(self._deadline)
        elif self.call is None:
            self.close()
        else:
            self._reader.time_out()
            self._finish()


def _hinted_seconds(hint: bytes) -> float:
    """Read `Keep-Alive: timeout=n`, less a margin for the way there."""
    found = HINT.search(hint)
    return UNHINTED_IDLE_SECONDS if found is None else int(found[1]) - HINT_MARGIN_SECONDS


def _has_something(descriptor: int) -> bool:
    """Ask the socket itself: what a quiet connection has to say is that it was closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
