"""The API as its callers meet it: the real application on the real database, in this process."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.applications import Starlette

from scheduler_svc.api import health
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Access, Deps, Failure, Readiness
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.store.pool import Pool


class Clock:
    """The database's clock as the API reads it; stands where a test puts it."""

    def __init__(self) -> None:
        self.ms: int | None = None

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 if self.ms is None else self.ms


class Records:
    """What the API told of its requests."""

    def __init__(self) -> None:
        self.requests: list[Access] = []
        self.failures: list[Failure] = []
        self.answered = asyncio.Event()

    def request(self, record: Access) -> None:
        self.requests.append(record)
        self.answered.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def deps(pool: Pool, clock: Clock, records: Records) -> Deps:
    async def ready() -> Readiness:
        return await health.look(pool, tick_age_ms=lambda: 5, versions={"scheduler-svc": "0.1.0"})

    return Deps(
        pool=pool,
        now_ms=clock,
        random_bytes=os.urandom,
        egress=EgressRules.parse(allow=["127.0.0.0/8", "[::1]", "localhost"]),
        ready=ready,
        version="0.1.0",
        on_request=records.request,
        on_failure=records.failures.append,
    )


@pytest.fixture
def app(deps: Deps) -> Starlette:
    return build_app(deps)


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield opened
