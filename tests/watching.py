"""One who watches the stream of events, as a browser does: by the standard's rules, in order."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2

SECONDS = 20


class Seen(NamedTuple):
    """An event as it came; a `gap` has no id, here 0. `at_ms` is when, by this machine's clock."""

    id: int
    name: str
    data: dict[str, Any]
    at_ms: int


class Watch:
    """What was seen so far, and whether the stream has ended."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.ended = False
        self._news = asyncio.Event()

    async def read(self, response: httpx2.Response) -> None:
        number, name = 0, ""
        try:
            async for line in response.aiter_lines():
                field, _, text = line.partition(": ")
                match field:
                    case "id":
                        number = int(text)
                    case "event":
                        name = text
                    case "data":
                        now_ms = time.time_ns() // 1_000_000
                        self.seen.append(Seen(number, name, json.loads(text), now_ms))
                        number = 0
                        self._news.set()
                    case _:
                        pass  # a comment, or the end of an event
        finally:
            self.ended = True
            self._news.set()

    async def until(
        self, *names: str, after: int = 0, seconds: float = SECONDS, of: str | None = None
    ) -> list[Seen]:
        """Wait for events of these names in this order, beyond the first so many seen.

        With `of`, of this job or run alone: what else was asked for may be told at any time.
        """
        async with asyncio.timeout(seconds):
            while True:
                self._news.clear()
                wanted, found = list(names), []
                for event in self.seen[after:]:
                    if of is not None and event.data.get("id") != of:
                        continue
                    if wanted and event.name == wanted[0]:
                        found.append(event)
                        del wanted[0]
                if not wanted:
                    return found
                assert not self.ended, f"the stream ended after {self.seen}"
                await self._news.wait()

    async def end(self, seconds: float = SECONDS) -> None:
        """Wait for the end of the stream."""
        async with asyncio.timeout(seconds):
            while not self.ended:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def watching(url: str, headers: dict[str, str] | None = None) -> AsyncIterator[Watch]:
    """Watch until the block ends."""
    async with (
        httpx2.AsyncClient(timeout=60) as http,
        http.stream("GET", url, headers=headers) as response,
        asyncio.TaskGroup() as tasks,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        watch = Watch()
        reading = tasks.create_task(watch.read(response))
        yield watch
        reading.cancel()
