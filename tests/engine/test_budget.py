"""What a fire costs, held to bounds by counting: statements, rows, log, calls of ours, memory.

The bounds are in budget.toml and are reviewed when they move. Counts do not depend on how busy the
machine is, so each is close above what was counted when it was set.
"""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counting import Statements, allocated, calls, due, fire, timers_read, wal
from receiver import Receiver
from rig import Rig, attempts, rigged
from scheduler_svc.engine import dispatch
from scheduler_svc.store.pool import BY_KEY, Pool, connection, open_pool
from sink import sinking

BOUNDS: dict[str, float] = tomllib.loads(Path(__file__).with_name("budget.toml").read_text())
FIRES = 1000
WARM = 100


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with sinking() as sink:
        yield sink.url("/")


@pytest.fixture
async def statements() -> Statements:
    return Statements()


@pytest.fixture
async def warm(
    dsn: str, receiver: Receiver, statements: Statements, url: str
) -> AsyncIterator[Rig]:
    """A replica with slots for all, that has fired before; one connection, so that it tells all."""
    pool: Pool = await open_pool(
        dsn, application_name="budget", size_max=1, planner=BY_KEY, on_statement=statements
    )
    async with rigged(pool, receiver, slots=FIRES) as rig:
        await due(rig, url, jobs=WARM)
        await fire(rig)
        rig.events.clear()
        yield rig
    pool.terminate()


async def test_a_thousand_fires_take_few_statements(
    warm: Rig, statements: Statements, url: str
) -> None:
    await due(warm, url, jobs=FIRES)
    statements.names.clear()
    await fire(warm)
    assert sum(statements.names.values()) <= BOUNDS["statements_per_1000_fires"]


async def test_a_claim_reads_little_more_than_its_batch(warm: Rig, url: str) -> None:
    await due(warm, url, jobs=FIRES)
    async with connection(warm.parts.pool) as conn:
        before = await timers_read(conn)
    await warm.tick()
    async with connection(warm.parts.pool) as conn:
        read = await timers_read(conn) - before
    assert len(warm.parts.hand) == FIRES
    assert read / FIRES <= BOUNDS["timer_rows_read_per_fire"]


async def test_a_portion_of_an_outage_locks_little_more_than_it_takes(warm: Rig, url: str) -> None:
    await due(warm, url, jobs=FIRES)
    await warm.pass_time(10_000)
    async with connection(warm.parts.pool) as conn:
        before = await timers_read(conn)
    await warm.tick()
    async with connection(warm.parts.pool) as conn:
        read = await timers_read(conn) - before
    assert len(warm.parts.hand) == FIRES
    assert read / FIRES <= BOUNDS["timer_rows_read_per_late_fire"]


async def test_a_fire_writes_little_log(warm: Rig, url: str) -> None:
    await due(warm, url, jobs=FIRES)
    async with connection(warm.parts.pool) as conn:
        await conn.execute("CHECKPOINT")
        before = await wal(conn)
    await fire(warm)
    async with connection(warm.parts.pool) as conn:
        assert (await wal(conn) - before) / FIRES <= BOUNDS["wal_bytes_per_fire"]


async def test_a_fire_calls_few_functions_of_ours(warm: Rig, url: str) -> None:
    """By stage, so that what moved shows."""
    await due(warm, url, jobs=FIRES)
    told: dict[str, float] = {}
    with calls() as claiming:
        await warm.tick()
    told["calls_per_fire_claim"] = sum(claiming().values()) / FIRES
    with calls() as sending:
        async with attempts(warm.parts) as tasks:
            dispatch.start_due(warm.parts, warm.outbox, tasks)
    # How often this test asks whether they have ended depends on the machine.
    asked = sending().pop("/engine/flight.py:done", 0)
    told["calls_per_fire_send"] = (sum(sending().values()) - asked) / FIRES
    with calls() as settling:
        await warm.settle()
    told["calls_per_fire_settle"] = sum(settling().values()) / FIRES
    print(told)
    assert {name: count for name, count in told.items() if count > BOUNDS[name]} == {}


async def test_a_fire_holds_little_memory(warm: Rig, url: str) -> None:
    """From the claim to the settle, with a thousand of them held at once."""
    await due(warm, url, jobs=FIRES)
    with allocated() as held:
        await fire(warm)
        assert held() / FIRES <= BOUNDS["bytes_held_per_fire"]
