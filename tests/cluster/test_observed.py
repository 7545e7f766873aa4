"""What a real Prometheus knows of real replicas is what the API knows.

The short form takes seconds. `pytest -m chaos tests/cluster/test_observed.py` scrapes three
replicas for minutes, breaks what the alerts watch, and sees them fire and clear.
"""

import asyncio
import os
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from fleet import all_ended, database, replica, schedule
from processes import frozen
from prometheus import PROMETHEUS, RULES, Prometheus, prometheus
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import Connection
from sink import sinking

SECONDS = int(os.environ.get("OBSERVED_SECONDS", "120"))

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed")


async def count(base: str, status: str) -> int:
    """Count runs by the API, page by page."""
    found, cursor = 0, ""
    async with httpx2.AsyncClient(base_url=base) as http:
        while True:
            page = (await http.get(f"/runs?status={status}&limit=500{cursor}")).json()
            found += len(page["items"])
            if page["next_cursor"] is None:
                return found
            cursor = f"&cursor={page['next_cursor']}"


async def agrees(seen: Prometheus, base: str, *, seconds: float) -> dict[str, int]:
    """See every count of ended runs become the same in Prometheus; return them."""
    counts = {}
    for status in ("succeeded", "failed", "skipped"):
        counts[status] = await count(base, status)
        question = f'sum(scheduler_runs_total{{status="{status}"}})'
        await seen.until(question, counts[status], seconds=seconds)
    return counts


async def test_it_counts_what_the_api_counts_and_takes_every_rule(dsn: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        fleet = [await stack.enter_async_context(replica(dsn)) for _ in range(2)]
        ports = [one.port for one in fleet]
        seen = await stack.enter_async_context(prometheus(tmp_path, ports))
        ledger = await stack.enter_async_context(database(dsn))
        await schedule(ledger, sink.url(), jobs=300, begin_seconds=1, over_seconds=2)
        nobody = {"retry": {"max_attempts": 1}}
        closed = "http://127.0.0.1:1/"
        await schedule(ledger, closed, jobs=40, begin_seconds=1, over_seconds=1, **nobody)
        await all_ended(ledger, jobs=340, seconds=30)
        counts = await agrees(seen, fleet[0].url(""), seconds=20)
        assert counts == {"succeeded": 300, "failed": 40, "skipped": 0}
        await seen.until("sum(scheduler_fires_total)", 340, seconds=5)
        await seen.until("max(sum by (instance) (scheduler_replicas))", 2, seconds=5)
        rules = await seen.rules()
        assert {rule["health"] for rule in rules} == {"ok"}
        assert len(rules) == RULES.read_text().count("- alert:")


@pytest.mark.chaos
@pytest.mark.timeout(900)
async def test_over_minutes_of_load_counts_agree_and_alerts_fire_and_clear(tmp_path: Path) -> None:
    """Three replicas, 50 jobs a second; then each thing that can be broken here is."""
    with embedded.throw_away() as server:
        await migrate.migrate(server.dsn)
        async with AsyncExitStack() as stack:
            sink = await stack.enter_async_context(sinking())
            ledger = await stack.enter_async_context(database(server.dsn))
            settings = {"lease": "3s", "heartbeat": "1s", "replicas_wanted": "3"}
            fleet = [
                await stack.enter_async_context(replica(server.dsn, **settings)) for _ in range(3)
            ]
            ports = [one.port for one in fleet]
            seen = await stack.enter_async_context(
                prometheus(tmp_path, ports, rules=_quick_rules(tmp_path))
            )
            jobs = 50 * SECONDS
            url, base = sink.url("/wait/20"), fleet[0].url("")
            await schedule(ledger, url, jobs=jobs, begin_seconds=2, over_seconds=SECONDS)
            await all_ended(ledger, jobs=jobs, seconds=SECONDS + 60)
            assert await agrees(seen, base, seconds=20) == {
                "succeeded": jobs,
                "failed": 0,
                "skipped": 0,
            }
            share = await seen.ask(
                "histogram_quantile(0.99, sum by (le) (scheduler_lateness_seconds_bucket))"
            )
            print(f"{jobs} fires counted alike; p99 of lateness by Prometheus {share} s")
            assert await seen.firing() == set()

            await _failures(seen, ledger)
            await _parked(seen, ledger)
            await _frozen_database(seen, ledger, server.pid, url)
            fleet[2].program.tell(signal.SIGKILL)
            await _fire(seen, {"SchedulerReplicaDown", "SchedulerReplicasMissing"})
            print("a replica killed: SchedulerReplicaDown, SchedulerReplicasMissing")


def _quick_rules(folder: Path) -> Path:
    """Write the rules with the same expressions over shorter windows, and without patience."""
    text = re.sub(r"for: \w+", "for: 0s", RULES.read_text())
    text = re.sub(r"\[(?:5m|10m|1h)\]", "[15s]", text)
    (folder / "quick.yml").write_text(text)
    return folder / "quick.yml"


async def _fire(seen: Prometheus, wanted: set[str], *, seconds: float = 60) -> None:
    await _become(seen, lambda firing: wanted <= firing, seconds=seconds)


async def _clear(seen: Prometheus, *, seconds: float = 60) -> None:
    await _become(seen, lambda firing: not firing, seconds=seconds)


async def _become(seen: Prometheus, holds: Callable[[set[str]], bool], *, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            # In another process: there is no event to wait for.
            while not holds(await seen.firing()):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"firing: {await seen.firing()}") from None


async def _failures(seen: Prometheus, ledger: Connection) -> None:
    once = {"retry": {"max_attempts": 1}}
    await schedule(ledger, "http://127.0.0.1:1/", jobs=40, begin_seconds=1, over_seconds=1, **once)
    await _fire(seen, {"SchedulerFailures"})
    await _clear(seen)
    print("targets that refuse: SchedulerFailures fired and cleared")


async def _parked(seen: Prometheus, ledger: Connection) -> None:
    """Store a job that nobody can read."""
    await schedule(ledger, "x", jobs=1, begin_seconds=3600, over_seconds=0)
    await ledger.execute(
        "UPDATE jobs SET definition = '{\"schedule\": 7}'"
        " WHERE id = (SELECT job_id FROM job_timers WHERE fire_at > now() + interval '1 minute')"
    )
    await ledger.execute(
        "UPDATE job_timers SET fire_at = now(), scheduled_for = now()"
        " WHERE fire_at > now() + interval '1 minute'"
    )
    await ledger.execute("SELECT pg_notify('scheduler', 'wake 0')")
    await _fire(seen, {"SchedulerJobParked"})
    await _clear(seen)
    print("a job that can not be read: SchedulerJobParked fired and cleared")


async def _frozen_database(seen: Prometheus, ledger: Connection, server: int, url: str) -> None:
    """Freeze PostgreSQL while jobs come due that can not wait."""
    hasty = {"misfire": {"policy": "skip", "grace": "1s"}}
    await schedule(ledger, url, jobs=20, begin_seconds=5, over_seconds=1, **hasty)
    with frozen(server):
        await _fire(seen, {"SchedulerLeaseLost"})
        await _fire(seen, {"SchedulerDatabaseAway", "SchedulerNothingTicks"})
    await _fire(seen, {"SchedulerMisfires"})
    await _clear(seen, seconds=120)
    print(
        "the database frozen: SchedulerDatabaseAway, SchedulerLeaseLost, SchedulerNothingTicks,"
        " SchedulerMisfires fired and cleared"
    )
