"""What the tests of the dashboard may ask for: the service as a browser meets it, without one."""

from collections.abc import AsyncIterator, Callable

import httpx2
import msgspec
import pytest

from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.sessions import Sessions
from scheduler_svc.service.pages import pages_of
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

BASE = "http://127.0.0.1:8080"
BOOTSTRAP = "a-bootstrap-key-of-enough-length"
HTML = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def deps(pool: Pool, clock: Clock, records: Records) -> Deps:
    """The development profile: nobody is asked who he is."""
    return lend(pool, clock, records)


@pytest.fixture
def guarded(deps: Deps, pool: Pool, clock: Clock) -> Deps:
    """The same with keys: who has none is sent to the login."""
    sessions = Sessions(pool, clock, deps.random_bytes, idle_seconds=3600, most_seconds=7200)
    gate = Gate(pool, clock, required=True, bootstrap_key=BOOTSTRAP, sessions=sessions)
    return msgspec.structs.replace(deps, gate=gate)


@pytest.fixture
def browser() -> Callable[[Deps], httpx2.AsyncClient]:
    """Make a caller of the application that keeps cookies and follows nothing."""

    def made(deps: Deps) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(build_app(deps, pages=pages_of(deps)))
        return httpx2.AsyncClient(transport=transport, base_url=BASE, headers=HTML)

    return made


@pytest.fixture
async def http(
    deps: Deps, browser: Callable[[Deps], httpx2.AsyncClient]
) -> AsyncIterator[httpx2.AsyncClient]:
    async with browser(deps) as opened:
        yield opened
