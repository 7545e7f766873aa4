"""The service as attackers meet it: the application on its database, behind the real server."""

from collections.abc import AsyncIterator

import pytest
from starlette.types import ASGIApp

from raw import Place, listening
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.store.pool import Pool
from scheduler_svc.web.pages import pages
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
    return build_app(deps, pages=pages())


@pytest.fixture
async def place(app: ASGIApp) -> AsyncIterator[Place]:
    async with listening(app) as found:
        yield found
