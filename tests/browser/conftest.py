"""One browser, one service and one receiver for all tests of pages; each visit is a new context.

The database is theirs alone and is not emptied: each test makes jobs of its own.
"""

import secrets
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
import pytest
from playwright.async_api import Browser, async_playwright

from fleet import Replica, replica
from receiver import Receiver, receiving
from scheduler_svc.store import migrate
from visiting import ARGUMENTS, CHROMIUM

BOOTSTRAP = "a-bootstrap-key-of-enough-length"


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}")
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=60_000
        )
        yield opened
        await opened.close()


@pytest.fixture(scope="session")
async def pages_dsn(server_dsn: str) -> AsyncIterator[str]:
    """A migrated database that no other test empties."""
    name = f"scheduler_pages_{secrets.token_hex(4)}"
    conn = await asyncpg.connect(server_dsn, timeout=10)
    try:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        dsn = urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))
        await migrate.migrate(dsn)
        yield dsn
        await conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await conn.close(timeout=5)


@pytest.fixture(scope="session")
async def target() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


@pytest.fixture(scope="session")
async def service(browser: Browser, pages_dsn: str) -> AsyncIterator[Replica]:
    """A replica in the development profile: whoever asks may do everything."""
    async with replica(pages_dsn, bootstrap_key=BOOTSTRAP) as running:
        yield running


@pytest.fixture
async def api(service: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=service.url(""), timeout=30) as opened:
        yield opened
