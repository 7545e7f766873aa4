"""What the tests of the API may ask for: the application, callers of it, its clock and records."""

from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.types import ASGIApp

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def deps(pool: Pool, clock: Clock, records: Records) -> Deps:
    return lend(pool, clock, records)


@pytest.fixture
def app(deps: Deps) -> ASGIApp:
    return build_app(deps)


@pytest.fixture
async def http(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as opened:
        yield opened
