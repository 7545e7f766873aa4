"""The long form: full load, kills, freezes, restarts one after another. Run by `make chaos`."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from fleet import Replica, Verdict, all_ended, database, judged, replica, schedule
from processes import frozen
from scheduler_svc.store.pool import Connection
from sink import Sinking, sinking

JOBS, OVER_SECONDS = 5000, 20.0
LEASE = {"lease": "4s", "heartbeat": "1s"}

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture
async def sink() -> AsyncIterator[Sinking]:
    async with sinking() as running:
        yield running


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


async def _verdict(ledger: Connection, sink: Sinking) -> Verdict:
    """Wait for the end of all and judge; nothing is ever lost, early, doubled or failed."""
    await all_ended(ledger, jobs=JOBS, seconds=OVER_SECONDS + 60)
    verdict = await judged(ledger, await sink.taken())
    print(verdict)
    assert (verdict.lost, verdict.early, verdict.doubled, verdict.failed) == (0, 0, 0, 0)
    return verdict


async def _load(ledger: Connection, sink: Sinking, path: str = "/wait/20") -> None:
    await schedule(ledger, sink.url(path), jobs=JOBS, begin_seconds=2, over_seconds=OVER_SECONDS)


@pytest.mark.parametrize("count", [2, 4])
async def test_five_thousand_over_twenty_seconds(
    dsn: str, sink: Sinking, ledger: Connection, count: int
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(replica(dsn))
        await _load(ledger, sink)
        verdict = await _verdict(ledger, sink)
    assert verdict.repeated == 0
    assert len(verdict.shares) == count


async def test_kill_9_of_one_after_another(dsn: str, sink: Sinking, ledger: Connection) -> None:
    async with AsyncExitStack() as stack:

        async def another() -> Replica:
            return await stack.enter_async_context(replica(dsn, **LEASE))

        fleet = [await another() for _ in range(3)]
        await _load(ledger, sink)
        for part in range(1, 5):
            await all_ended(ledger, jobs=JOBS * part // 5, seconds=60)
            fleet.pop(0).program.tell(signal.SIGKILL)
            fleet.append(await another())
        verdict = await _verdict(ledger, sink)
    lost = await ledger.fetchval("SELECT sum(lost_count) FROM runs")
    print(f"attempts lost {lost}")
    assert verdict.repeated <= lost


async def test_a_replica_frozen_beyond_its_lease_settles_nothing_and_sends_nothing_it_held(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    async with replica(dsn, **LEASE) as zombie, replica(dsn, **LEASE):
        await _load(ledger, sink)
        for part in (1, 2):
            await all_ended(ledger, jobs=JOBS * part // 4, seconds=60)
            with frozen(zombie.program.pid):
                await asyncio.sleep(7)
        verdict = await _verdict(ledger, sink)
    lost = await ledger.fetchval("SELECT sum(lost_count) FROM runs")
    print(f"attempts lost {lost}")
    assert verdict.repeated <= lost


async def test_rolling_restarts_under_load(dsn: str, sink: Sinking, ledger: Connection) -> None:
    async with AsyncExitStack() as stack:
        fleet = [await stack.enter_async_context(replica(dsn)) for _ in range(2)]
        await _load(ledger, sink, "/wait/100")
        for part in range(1, 5):
            await all_ended(ledger, jobs=JOBS * part // 5, seconds=60)
            fleet.append(await stack.enter_async_context(replica(dsn)))
            leaving = fleet.pop(0)
            leaving.program.tell(signal.SIGTERM)
            assert await leaving.program.end() == 0
        verdict = await _verdict(ledger, sink)
    assert verdict.repeated == 0
    assert await ledger.fetchval("SELECT sum(lost_count) FROM runs") == 0


async def test_backends_that_are_terminated_all_the_time(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    """Each connection of the service is cut twice a second, in the middle of whatever it does."""
    async with replica(dsn, **LEASE), replica(dsn, **LEASE):
        await _load(ledger, sink)
        stop = asyncio.Event()

        async def cut() -> None:
            async with database(dsn) as conn:
                while not stop.is_set():
                    await conn.fetch(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE application_name LIKE 'scheduler-svc%'"
                        " AND datname = current_database()"
                    )
                    await asyncio.sleep(0.5)

        cutting = asyncio.create_task(cut())
        await asyncio.sleep(OVER_SECONDS)
        stop.set()
        await cutting
        await _verdict(ledger, sink)
