"""What those who watch at this replica are shown: the last events, in memory, in order.

One reader fills it for all of them, and only while somebody watches. Promises that whoever asks for
what comes after an id gets all of it, or is told that some is gone. Bounded: it holds the last
events, and serves so many at once, of which no namespace can take all.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from scheduler_svc.domain.errors import Unavailable
from scheduler_svc.store import events
from scheduler_svc.store.events import Bounds, Event
from scheduler_svc.store.pool import Pool, connection, is_database_away

RING = 10_000
BATCH = 1_000
WATCHERS_MAX = 500
RESERVED = 100
"""Places at the end for namespaces that have few: one that takes all it can leaves these."""
FEW = 20
WATCH_SECONDS = 30.0
PAUSE_SECONDS = 0.05
"""What gathers between two looks: a busy service tells many events a second."""


class Feed:
    """The last events. `hear` is told when there may be more, `close` when the replica leaves."""

    def __init__(self, pool: Pool, now_ms: Callable[[], int], *, poll_seconds: float) -> None:
        self.closed = False
        self._pool = pool
        self._now_ms = now_ms
        self._poll = poll_seconds
        self._ring: deque[Event] = deque(maxlen=RING)
        self._floor = self._newest = 0
        """The ring holds all that came after the one, up to the other."""
        self._watchers: Counter[str] = Counter()
        self._begun = False
        self._watched_at = -WATCH_SECONDS
        self._turn = asyncio.Lock()
        self._heard = asyncio.Event()
        self._more = asyncio.Event()

    def hear(self) -> None:
        """Look for more, now."""
        self._heard.set()

    def close(self) -> None:
        """End every stream: the replica leaves, and who watches goes to another."""
        self.closed = True
        self._pass_on()

    @contextmanager
    def watching(self, namespace: str) -> Iterator[None]:
        """Be one of those who watch; raise Unavailable where there are too many."""
        most = WATCHERS_MAX - (RESERVED if self._watchers[namespace] >= FEW else 0)
        if self._watchers.total() >= most or self.closed:
            raise Unavailable("This replica shows the events to as many as it can; try again.")
        self._watchers[namespace] += 1
        try:
            yield
        finally:
            self._watchers -= Counter({namespace: 1})
            self._begun = self._begun and bool(self._watchers)

    async def join(self) -> int:
        """Begin to watch; return the id after which everything will be told."""
        async with self._turn:
            await self._begin()
        self._heard.set()
        return self._newest

    def after(self, event_id: int) -> list[Event] | None:
        """Return what came after an id; None where the memory does not reach back so far."""
        if event_id < self._floor or event_id > self._newest:
            return None
        found: list[Event] = []
        for event in reversed(self._ring):
            if event.id <= event_id:
                break
            found.append(event)
        found.reverse()
        return found

    async def stored(self, event_id: int) -> tuple[Bounds, list[Event]]:
        """Read what came after an id from the store, a batch of it."""
        async with connection(self._pool) as conn:
            bounds = await events.bounds(conn)
            return bounds, await events.events_after(conn, event_id, batch=BATCH)

    async def more(self, seconds: float) -> None:
        """Wait for more, so long at most."""
        more = self._more
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await more.wait()

    async def run(self) -> None:
        """Read what is told while somebody watches, for ever."""
        while True:
            self._heard.clear()
            if self._watchers:
                try:
                    async with self._turn:
                        await self._read()
                except Exception as error:
                    if not is_database_away(error):
                        raise
                    self._begun = False  # it may come back as another, or an earlier one
                await asyncio.sleep(PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll if self._watchers else None):
                    await self._heard.wait()

    async def _begin(self) -> None:
        """Tell every replica that somebody watches; where nobody did, begin at what is newest."""
        now = asyncio.get_running_loop().time()
        if not self._begun or now >= self._watched_at + WATCH_SECONDS:
            await events.watch(self._pool, now_ms=self._now_ms())
            self._watched_at = now
        if not self._begun:
            newest = (await events.settled_bounds(self._pool)).newest
            if newest != self._newest:
                self._ring.clear()
                self._floor = self._newest = newest
            self._begun = True

    async def _read(self) -> None:
        await self._begin()
        full = True
        while full:
            async with connection(self._pool) as conn:
                batch = await events.events_after(conn, self._newest, batch=BATCH)
            for event in batch:
                if len(self._ring) == RING:
                    self._floor = self._ring[0].id
                self._ring.append(event)
                self._newest = event.id
            if batch:
                self._pass_on()
            full = len(batch) == BATCH

    def _pass_on(self) -> None:
        """Wake all who wait, and let the next wait be a new one."""
        self._more.set()
        self._more = asyncio.Event()
