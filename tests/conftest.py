"""What every test may ask for: a real PostgreSQL, migrated, empty at the start of each test.

DATABASE_URL names a server to make a fresh database on; without it a throw-away one is started.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from hypothesis import settings

from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import Pool, open_pool

settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("deep", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def server_dsn() -> Iterator[str]:
    """The server as its superuser sees it; tests make databases of their own on it."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with embedded.throw_away() as server:
        yield server.dsn


@pytest.fixture(scope="session")
async def database(server_dsn: str) -> AsyncIterator[str]:
    """One database for the session, migrated once; `dsn` and `pool` hand it out emptied."""
    async for name in _new_database(server_dsn):
        await migrate.migrate(name)
        yield name


@pytest.fixture
async def empty_database(server_dsn: str) -> AsyncIterator[str]:
    """A database of this test alone, not even migrated."""
    async for name in _new_database(server_dsn):
        yield name


@pytest.fixture(scope="session")
async def session_pool(database: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database, application_name="tests", size_max=10)
    yield opened
    opened.terminate()


@pytest.fixture
async def pool(session_pool: Pool) -> Pool:
    """Connections to the emptied database."""
    await _empty(session_pool)
    return session_pool


@pytest.fixture
async def dsn(database: str, pool: Pool) -> str:
    """The address of the emptied database, for processes and pools of the test's own."""
    return database


async def _new_database(server_dsn: str) -> AsyncIterator[str]:
    name = f"scheduler_test_{secrets.token_hex(4)}"
    await _on_server(server_dsn, f'CREATE DATABASE "{name}" TEMPLATE template0')
    yield urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))
    await _on_server(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _on_server(server_dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(server_dsn, timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close(timeout=5)


async def _empty(pool: Pool) -> None:
    """Truncate the tables that hold rows: looking costs a tenth of truncating them all."""
    async with pool.acquire() as connection:
        tables = await connection.fetch(
            """
            SELECT quote_ident(relname) AS name FROM pg_class
            WHERE relkind IN ('r', 'p') AND NOT relispartition
              AND relnamespace = 'public'::regnamespace AND relname <> 'schema_migrations'
            """
        )
        if not tables:
            return
        looks = " UNION ALL ".join(
            f"SELECT '{row['name']}' AS name WHERE EXISTS (SELECT FROM {row['name']})"
            for row in tables
        )
        if filled := [row["name"] for row in await connection.fetch(looks)]:
            async with connection.transaction():
                # The audit log refuses it to everybody else.
                await connection.execute("SET LOCAL scheduler.audit TO 'upkeep'")
                await connection.execute(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE")
