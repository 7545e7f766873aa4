"""What the tests of the client packages share: a served API, a whole service, and who asks it."""

import asyncio
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import pytest

from fleet import Replica, replica
from scheduler_client import AsyncScheduler, Retry, Scheduler
from scheduler_svc.api.app import build_app
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend, serving

QUICK = Retry(initial=0.01, delay_max=0.05)


@pytest.fixture
async def address(pool: Pool) -> AsyncIterator[str]:
    """The API alone, on a socket."""
    records = Records()
    async with serving(build_app(lend(pool, Clock(), records))) as opened:
        yield opened
    assert [repr(failure.error) for failure in records.failures] == []


@pytest.fixture
async def service(dsn: str) -> AsyncIterator[Replica]:
    """A whole replica: it calls, too."""
    async with replica(dsn) as one:
        yield one


class Asking:
    """Either of the two, asked in the same way; the blocking one away from the tests' loop."""

    def __init__(self, scheduler: Scheduler | AsyncScheduler) -> None:
        self.scheduler = scheduler

    async def __call__(self, method: str, *given: Any, **more: Any) -> Any:
        asked = getattr(self.scheduler, method)
        if isinstance(self.scheduler, Scheduler):
            return await asyncio.to_thread(asked, *given, **more)
        return await asked(*given, **more)

    async def first(self, count: int, method: str, *given: Any, **more: Any) -> list[Any]:
        """Take so many of what is iterated over, or all there is where that is less."""
        if isinstance(self.scheduler, Scheduler):
            found = getattr(self.scheduler, method)(*given, **more)
            return await asyncio.to_thread(_some, count, found)
        some = []
        async for one in getattr(self.scheduler, method)(*given, **more):
            some.append(one)
            if len(some) == count:
                break
        return some


def _some(count: int, found: Any) -> list[Any]:
    return list(islice(found, count))


class Opener:
    """Makes both kinds for an address."""

    def __init__(self, kind: type[Scheduler | AsyncScheduler]) -> None:
        self._kind = kind
        self.opened: list[Scheduler | AsyncScheduler] = []

    def __call__(self, url: str, **more: Any) -> Asking:
        self.opened.append(self._kind(url, **({"retry": QUICK} | more)))
        return Asking(self.opened[-1])


@pytest.fixture(params=[Scheduler, AsyncScheduler], ids=["sync", "async"])
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Opener]:
    opener = Opener(request.param)
    yield opener
    for one in opener.opened:
        if isinstance(one, Scheduler):
            one.close()
        else:
            await one.close()
