"""What every peer does for a job: one POST of 200 bytes, its instant noted."""

import asyncio
import json
import time

import aiohttp

BODY = json.dumps({"n": "x" * 192})
HEADERS = {"Content-Type": "application/json"}


class Calls:
    """The calls of a burst; `done` is set with the last."""

    def __init__(self, url: str, jobs: int) -> None:
        self.url, self.jobs = url, jobs
        self.sent: list[float] = []
        self.ended = 0
        self.done = asyncio.Event()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100))

    async def call(self) -> None:
        self.sent.append(time.time())
        async with self.session.post(self.url, data=BODY, headers=HEADERS) as answer:
            await answer.read()
            assert answer.status == 200
        self.ended += 1
        if self.ended >= self.jobs:
            self.done.set()

    async def told(self, at: float) -> None:
        """Wait for the end, and print what there is to tell."""
        await self.done.wait()
        ended = time.time()
        await self.session.close()
        late = sorted((sent - at) * 1000 for sent in self.sent)
        figures = {
            "calls": len(late),
            "seconds": ended - at,
            "p50_ms": late[len(late) // 2],
            "p99_ms": late[len(late) * 99 // 100],
            "least_ms": late[0],
        }
        print(json.dumps(figures), flush=True)


def ready(at: float) -> None:
    """Say that all is scheduled, in time."""
    assert time.time() < at, "scheduling took too long"
    print("ready", flush=True)
