"""One replica in pieces, and a receiver to send to."""

from collections.abc import AsyncIterator

import pytest

from receiver import Receiver, receiving
from rig import Rig, rigged
from scheduler_svc.store.pool import BY_KEY, Pool, open_pool


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


@pytest.fixture(scope="session")
async def engine_session_pool(database: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database, application_name="engine tests", planner=BY_KEY)
    yield opened
    opened.terminate()


@pytest.fixture
async def engine_pool(engine_session_pool: Pool, pool: Pool) -> Pool:
    """Connections as the engine opens them, to the emptied database."""
    return engine_session_pool


@pytest.fixture
async def rig(engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    async with rigged(engine_pool, receiver) as built:
        yield built


@pytest.fixture
async def other(rig: Rig, engine_pool: Pool, receiver: Receiver) -> AsyncIterator[Rig]:
    """A second replica under the same clock."""
    async with rigged(engine_pool, receiver, clock=rig.clock) as built:
        yield built
