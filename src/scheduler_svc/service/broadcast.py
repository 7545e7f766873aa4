"""The stream of events between replicas: what happens here is written, and read where somebody
watches.

Promises to cost next to nothing while nobody does, and never to hold up what it tells of: it keeps
a bounded number for the next write, and what does not fit, or can not be written because the
database is away, is lost to the stream. The record is the list of runs.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from scheduler_svc.api.context import Deps
from scheduler_svc.api.feed import Feed
from scheduler_svc.api.gate import Gate
from scheduler_svc.domain.events import EventName, T
from scheduler_svc.domain.stream import PUBLISHED, Happened, happened
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.store import events
from scheduler_svc.store.chime import Turn
from scheduler_svc.store.pool import Pool, connection, is_database_away

QUEUE_MAX = 20_000
BATCH = 2_000
GATHER_SECONDS = 0.05
WRITE_SECONDS = 5.0
LOOK_SECONDS, LOOK_SECONDS_DEAF = 10.0, 1.0
PRUNE_BATCH = 5_000
FEED_SECONDS = 0.25
"""How often is looked for more where no notice is heard."""


class Broadcast:
    """Takes events, as any listener does, and keeps them for the next write while it is wanted."""

    def __init__(self) -> None:
        self.wanted = False
        self.to_write = Alarm()
        self.to_look = Alarm()
        self.asked = Alarm()
        """Rung when something was asked for in SQL."""
        self.now_ms: Callable[[], int] = lambda: 0
        self._queue: deque[Happened] = deque(maxlen=QUEUE_MAX)

    def hear(self, name: EventName, fields: Mapping[str, object]) -> None:
        """Take one event."""
        if not self.wanted or name not in PUBLISHED:
            return
        told = happened(name, fields, at_ms=self.now_ms())
        if told is not None:
            self._queue.append(told)
            self.to_write.ring()

    def hear_all(
        self, name: EventName, told: Sequence[T], fields: Callable[[T], dict[str, Any]], /
    ) -> None:
        """Take several events of a name."""
        if self.wanted and name in PUBLISHED:
            for one in told:
                self.hear(name, fields(one))

    def ears(self, gate: Gate, feed: Feed) -> dict[str, Callable[[str], None]]:
        """Return who hears of what: which notices are not the engine's."""
        return {
            "key": gate.forget,
            "events": lambda _: feed.hear(),
            "watch": lambda _: self.to_look.ring(),
            "sql": lambda _: self.asked.ring(),
        }

    def want(self, *, wanted: bool) -> None:
        """Take events from here on, or no more."""
        self.wanted = wanted
        if not wanted:
            self._queue.clear()

    def take(self) -> list[Happened]:
        """Take what is to be written next."""
        told = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        # A job that is gone by now can not be asked whose it was, but its end says so.
        whose = {one.job_id: one.namespace for one in told if one.namespace is not None}
        return [one._replace(namespace=whose.get(one.job_id)) for one in told]


@asynccontextmanager
async def broadcasting(
    broadcast: Broadcast, deps: Deps, stop: asyncio.Event, *, listens: bool
) -> AsyncIterator[None]:
    """Write and read the stream while the block runs; end all streams when the process is to."""
    broadcast.now_ms, feed = deps.now_ms, deps.feed
    if feed is None:
        yield
        return
    look = LOOK_SECONDS if listens else LOOK_SECONDS_DEAF
    async with asyncio.TaskGroup() as tasks:
        loops = [
            tasks.create_task(_looks(broadcast, deps.pool, every=look), name="looks"),
            tasks.create_task(_writes(broadcast, deps.pool), name="writes"),
            tasks.create_task(feed.run(), name="feed"),
            tasks.create_task(_close(feed, stop), name="close"),
        ]
        try:
            yield
        finally:
            for loop in loops:
                loop.cancel()


async def _close(feed: Feed, stop: asyncio.Event) -> None:
    await stop.wait()
    feed.close()


async def _looks(broadcast: Broadcast, pool: Pool, *, every: float) -> None:
    """Learn whether anybody watches, for ever."""
    while True:
        broadcast.to_look.clear()
        try:
            broadcast.want(wanted=await events.is_watched(pool, now_ms=broadcast.now_ms()))
        except Exception as error:
            if not is_database_away(error):
                raise
        await broadcast.to_look.rest(every, Turn.EVENTS)


async def _writes(broadcast: Broadcast, pool: Pool) -> None:
    """Write what was told, for ever; gathered for a moment, so that many go in one statement."""
    pruned_ms = 0
    while True:
        broadcast.to_write.clear()
        try:
            while told := broadcast.take():
                await events.insert_events(pool, told, seconds=WRITE_SECONDS)
            if broadcast.wanted and broadcast.now_ms() > pruned_ms + events.KEPT_MS // 60:
                pruned_ms = broadcast.now_ms()
                async with connection(pool) as conn:
                    await events.prune(conn, now_ms=pruned_ms, batch=PRUNE_BATCH)
        except Exception as error:
            if not is_database_away(error):
                raise
        await broadcast.to_write.wait(None)
        await asyncio.sleep(GATHER_SECONDS)
