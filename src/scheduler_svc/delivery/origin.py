"""The connections to one origin: a bounded number of slots, the idle ones, and who waits in line.

First come, first served. A connection that ends a call takes the next waiting one at once, in the
same turn of the loop. It dials nothing: it only says who may. One timer serves the
whole line.
"""

import asyncio
from collections import deque
from math import inf
from typing import Final

from scheduler_svc.delivery.call import Call
from scheduler_svc.delivery.connection import Connection

TICK_SECONDS: Final = 0.001
"""The loop counts its timers in these, and may ring so much early."""

TOGETHER_MAX: Final = 16
"""So many requests are written in one go at most: the first of them waits for no more."""


class Origin:
    """Slots of one origin; `in_use` counts connections in a call and those being dialled."""

    __slots__ = (
        "_idle",
        "_loop",
        "_pool",
        "_rings_at",
        "_waiting",
        "in_use",
        "key",
        "write_soon",
    )

    def __init__(self, key: object, pool: "Pool", loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.in_use = 0
        self._pool = pool
        self._loop = loop
        self.write_soon = pool.write_soon
        self._idle: list[Connection] = []  # the youngest last, and taken first
        self._waiting: deque[Call] = deque()
        self._rings_at = inf  # when the line is looked at for who has waited too long

    def submit(self, call: Call) -> bool:
        """Start the call, or queue it, or answer True: the caller has a slot and must dial."""
        while self._idle:
            connection = self._idle.pop()
            self._pool.idle.pop(connection, None)
            if connection.is_fit():
                self.in_use += 1
                connection.start(call)
                return False
            connection.close()
        if self.in_use < self._pool.connections_per_origin:
            self.in_use += 1
            return True
        self._waiting.append(call)
        if call.deadline < self._rings_at:
            self._ring_at(call.deadline)
        return False

    def ended(self, connection: Connection, *, reusable: bool) -> None:
        """Hand on the slot of a connection that is done, to who waits longest, or park it."""
        call = self._next_waiting() if self._waiting else None
        if call is not None:
            if reusable:
                connection.start(call)
            else:
                call.answer(None)  # the slot goes over: dial
            return
        self.in_use -= 1
        if reusable and not self._pool.closed and connection.park(self._pool.keepalive_seconds):
            self._idle.append(connection)
            self._pool.shelve(connection)
            return
        if reusable:
            connection.close()
        self._drop_if_unused()

    def release(self) -> None:
        """Give back a slot whose connection never came to be."""
        call = self._next_waiting()
        if call is not None:
            call.answer(None)
            return
        self.in_use -= 1
        self._drop_if_unused()

    def lost(self, connection: Connection) -> None:
        """Forget a parked connection that ended."""
        if connection in self._pool.idle:
            del self._pool.idle[connection]
            self._idle.remove(connection)
            self._drop_if_unused()

    def closed(self, connection: Connection) -> None:
        self._pool.remove(connection)

    def dismiss(self) -> None:
        """Answer all who wait that the sender is closed."""
        while (call := self._next_waiting()) is not None:
            call.answer(call.failed("connect_error", "the sender is closed"))

    def _next_waiting(self) -> Call | None:
        while self._waiting:
            call = self._waiting.popleft()
            if call.waits:
                return call
        return None

    def _ring_at(self, deadline: float) -> None:
        self._rings_at = deadline
        self._loop.call_at(deadline, self._expire, deadline)

    def _expire(self, rung: float) -> None:
        """Answer those in line whose time is over, and look again when the next one's is."""
        if rung != self._rings_at:
            return  # an earlier ring was asked for since, and has come
        self._rings_at = inf
        now = self._loop.time() + TICK_SECONDS
        waiting = [call for call in self._waiting if call.waits]
        late = [call for call in waiting if call.deadline <= now]
        self._waiting = deque(call for call in waiting if call.deadline > now)
        if self._waiting:
            self._ring_at(min(call.deadline for call in self._waiting))
        for call in late:
            call.answer(call.failed("timeout", "no connection came free in time"))

    def _drop_if_unused(self) -> None:
        if not self.in_use and not self._idle:
            self._pool.origins.pop(self.key, None)


class Pool:
    """All origins of one sender, and what bounds them together."""

    __slots__ = (
        "_unwritten",
        "closed",
        "connections_per_origin",
        "emptied",
        "idle",
        "idle_max",
        "keepalive_seconds",
        "open",
        "origins",
    )

    def __init__(
        self, *, connections_per_origin: int, keepalive_seconds: float, idle_max: int
    ) -> None:
        self.connections_per_origin = connections_per_origin
        self.keepalive_seconds = keepalive_seconds
        self.idle_max = idle_max
        self.closed = False
        self.origins: dict[object, Origin] = {}
        self.idle: dict[Connection, None] = {}  # the longest parked first
        self.open: set[Connection] = set()
        self.emptied = asyncio.Event()
        self.emptied.set()
        self._unwritten: deque[Connection] = deque()

    def origin(self, key: object, loop: asyncio.AbstractEventLoop) -> Origin:
        found = self.origins.get(key)
        if found is None:
            found = self.origins[key] = Origin(key, self, loop)
        return found

    def add(self, connection: Connection) -> None:
        self.open.add(connection)
        self.emptied.clear()

    def remove(self, connection: Connection) -> None:
        self.open.discard(connection)
        if not self.open:
            self.emptied.set()

    def write_soon(self, connection: Connection) -> None:
        """Have a request written in the next turn of the loop, with others, or once they are many.

        A request that is written alone wakes its target, which answers and sleeps again before the
        next is made: on one machine that costs both of them more than the request.
        """
        waiting = self._unwritten
        waiting.append(connection)
        if len(waiting) == 1:
            connection.loop.call_soon(self._write)
        elif len(waiting) >= TOGETHER_MAX:
            self._write()

    def _write(self) -> None:
        waiting = self._unwritten
        try:
            while waiting:
                waiting.popleft().write()
        finally:
            if waiting:  # a fault of one is no other's
                asyncio.get_running_loop().call_soon(self._write)

    def shelve(self, connection: Connection) -> None:
        """Count a parked connection; beyond the bound the longest parked goes."""
        self.idle[connection] = None
        if len(self.idle) > self.idle_max:
            oldest = next(iter(self.idle))
            oldest.origin.lost(oldest)
            oldest.close()

    def close(self) -> None:
        """End everything at once; calls under way fail."""
        self.closed = True
        for origin in list(self.origins.values()):
            origin.dismiss()
        for connection in list(self.open):
            connection.close(polite=False)
