"""The connections to one origin: a bounded number of slots, the idle ones, and who waits in line.

First come, first served. A connection that ends a call takes the next waiting one at once, in the
same turn of the loop. It dials nothing: it only says who may.
"""

import asyncio
from collections import deque

from scheduler_svc.delivery.connection import Call, Connection


class Origin:
    """Slots of one origin; `in_use` counts connections in a call and those being dialled."""

    __slots__ = ("_idle", "_loop", "_pool", "_waiting", "in_use", "key")

    def __init__(self, key: object, pool: "Pool", loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.in_use = 0
        self._pool = pool
        self._loop = loop
        self._idle: list[Connection] = []  # the youngest last, and taken first
        self._waiting: deque[Call] = deque()

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
        call.timer = self._loop.call_at(call.deadline, _expire, call)
        self._waiting.append(call)
        return False

    def ended(self, connection: Connection, *, reusable: bool) -> None:
        """Hand on the slot of a connection that is done, to who waits longest, or park it."""
        call = self._next_waiting() if self._waiting else None
        if call is not None:
            if reusable:
                connection.start(call)
            else:
                call.future.set_result(None)  # the slot goes over: dial
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
            call.future.set_result(None)
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
            call.future.set_result(call.failed("connect_error", "the sender is closed"))

    def _next_waiting(self) -> Call | None:
        while self._waiting:
            call = self._waiting.popleft()
            if call.timer is not None:
                call.timer.cancel()
            if not call.future.done():
                return call
        return None

    def _drop_if_unused(self) -> None:
        if not self.in_use and not self._idle:
            self._pool.origins.pop(self.key, None)


class Pool:
    """All origins of one sender, and what bounds them together."""

    __slots__ = (
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


def _expire(call: Call) -> None:
    if not call.future.done():
        call.future.set_result(call.failed("timeout", "no connection came free in time"))
