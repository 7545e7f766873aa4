"""Replicas as processes on one database: shared work; nothing lost, early or sent twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from fleet import all_ended, database, judged, replica, schedule
from scheduler_svc.store.pool import Connection
from sink import Sinking, sinking

JOBS, OVER_SECONDS = 1000, 5.0
BUSY_MACHINE_MS = 2000
"""A bound for machines that do other things as well; the bench prints what an idle one does."""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def sink() -> AsyncIterator[Sinking]:
    async with sinking() as running:
        yield running


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
async def test_each_occurrence_is_one_run_and_one_call_and_the_work_is_shared(
    dsn: str, sink: Sinking, ledger: Connection, count: int
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(replica(dsn))
        await schedule(ledger, sink.url(), jobs=JOBS, begin_seconds=1.5, over_seconds=OVER_SECONDS)
        await all_ended(ledger, jobs=JOBS, seconds=30)
        verdict = await judged(ledger, await sink.taken())
    print(verdict)
    assert (verdict.lost, verdict.early, verdict.doubled, verdict.repeated) == (0, 0, 0, 0)
    assert verdict.failed == 0
    assert len(verdict.shares) == count
    assert min(verdict.shares.values()) > JOBS / count / 10
    assert verdict.late(0.99) < BUSY_MACHINE_MS


async def test_a_stop_under_load_settles_what_runs_gives_back_the_rest_and_exits_0(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    async with replica(dsn, grace_time="10s", lookahead="5s") as only:
        await schedule(ledger, sink.url("/wait/400"), jobs=500, begin_seconds=1, over_seconds=4)
        await all_ended(ledger, jobs=50, seconds=20)
        only.program.tell(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await only.program.end() == 0
    states = dict(await ledger.fetch("SELECT status, count(*) FROM runs GROUP BY status"))
    assert "running" not in states
    assert states.get("due", 0) > 0
    assert await ledger.fetchval("SELECT count(*) FROM replicas") == 0
    taken = await sink.taken()
    assert len(taken) == states["succeeded"]
    assert await ledger.fetchval("SELECT max(attempt_count) FROM runs WHERE status = 'due'") == 0


async def test_an_attempt_that_outlasts_the_grace_time_is_handed_over(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    async with replica(dsn, grace_time="2s") as only:
        await schedule(ledger, sink.url("/wait/60000"), jobs=1, begin_seconds=0, over_seconds=0)
        await sink.has(1)
        only.program.tell(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await only.program.end() == 0
    row = await ledger.fetchrow("SELECT status, attempt_count, lost_count FROM runs")
    assert row is not None
    assert tuple(row) == ("due", 1, 1)


async def test_a_crash_of_the_engine_ends_the_process_with_a_fault(
    dsn: str, ledger: Connection
) -> None:
    async with replica(dsn) as only:
        # A schema that is not ours any more: the heart stops, which no waiting can mend.
        await ledger.execute("ALTER TABLE replicas RENAME COLUMN slots TO slots_gone")
        try:
            assert await only.program.end() == 1
        finally:
            await ledger.execute("ALTER TABLE replicas RENAME COLUMN slots_gone TO slots")
