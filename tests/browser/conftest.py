"""One browser, one service and one receiver for all tests of pages; each visit is a new context.

The database is theirs alone and is not emptied: each test makes jobs of its own.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
import pytest
from playwright.async_api import Browser, async_playwright

from fleet import Replica, replica
from receiver import Behaviour, Receiver, receiving
from scheduler_svc.store import migrate
from sealing import KEY_TEXT
from story import Story, tell
from visiting import ARGUMENTS, BOOTSTRAP, CHROMIUM, Ended, Json, Make


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


@pytest.fixture(scope="session")
async def guarded(browser: Browser, pages_dsn: str) -> AsyncIterator[Replica]:
    """A replica in the production profile over the same database: nobody gets in without a key."""
    settings = {
        "profile": "production",
        "host": "127.0.0.1",
        "role": "api",
        "bootstrap_key": BOOTSTRAP,
        "secret_keys": KEY_TEXT,
    }
    async with replica(pages_dsn, **settings) as running:
        yield running


@pytest.fixture
async def api(service: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=service.url(""), timeout=30) as opened:
        yield opened


@pytest.fixture(scope="session")
async def story(service: Replica, target: Receiver, pages_dsn: str) -> Story:
    """Jobs with a day behind them."""
    async with httpx2.AsyncClient(base_url=service.url(""), timeout=30) as http:
        return await tell(http, target, pages_dsn)


@pytest.fixture
def make(api: httpx2.AsyncClient, target: Receiver) -> Make:
    """Make a job of the test's own that calls a path of the receiver, once a day."""

    async def made(name: str, behaviour: Behaviour | None = None, **changes: Any) -> Json:
        url = target.url(f"/{name}")
        if behaviour is not None:
            target.on(f"/{name}", behaviour)
        asked = {"schedule": {"cron": "0 4 29 2 *"}, "target": {"url": url}, "name": name}
        answer = await api.post("/jobs", json=asked | changes)
        assert answer.status_code == 201, answer.text
        job: Json = answer.json()
        return job

    return made


@pytest.fixture
def ended(api: httpx2.AsyncClient) -> Ended:
    """Run a job now and wait for the end of that run."""

    async def waited(job: Json) -> Json:
        run: Json = (await api.post(f"/jobs/{job['id']}/trigger")).json()
        async with asyncio.timeout(30):
            # Rows that another process writes: there is no event to wait for.
            while run["status"] in {"due", "running"}:
                await asyncio.sleep(0.05)
                run = (await api.get(f"/runs/{run['id']}")).json()
        return run

    return waited
