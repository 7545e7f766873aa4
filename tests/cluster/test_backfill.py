"""Backfills on real replicas: in nobody's way, and whole though one is killed in the middle."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from fleet import Replica, all_ended, database, replica, schedule
from scheduler_svc.store.pool import Connection
from sink import Sinking, sinking

BUSY_MACHINE_MS = 2000
"""A bound for machines that do other things as well."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
async def sink() -> AsyncIterator[Sinking]:
    async with sinking() as running:
        yield running


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


async def backfill(of: Replica, url: str, *, minutes: int) -> str:
    """Have a job of long ago sent again, each second of so many minutes, as fast as may be."""
    past = {"cron": "* * * * * *", "end": "2026-01-02T00:00:00Z"}
    asked = {
        "from": "2026-01-01T00:00:00Z",
        "to": f"2026-01-01T{minutes // 60:02}:{minutes % 60:02}:00Z",
        "max_per_minute": 6000,
    }
    async with httpx2.AsyncClient(base_url=of.url("")) as http:
        job = await http.post("/jobs", json={"schedule": past, "target": {"url": url}})
        assert job.status_code == 201, job.text
        made = await http.post(f"/jobs/{job.json()['id']}/backfill", json=asked)
        assert made.status_code == 202, made.text
    found: str = made.json()["id"]
    return found


async def ended(of: Replica, backfill_id: str, *, seconds: float) -> dict[str, Any]:
    """Wait until a backfill has ended, and read it."""
    async with httpx2.AsyncClient(base_url=of.url("")) as http, asyncio.timeout(seconds):
        while True:
            seen: dict[str, Any] = (await http.get(f"/backfills/{backfill_id}")).json()
            if seen["status"] != "running":
                return seen
            await asyncio.sleep(0.2)  # other processes work it off: there is no event to wait for


async def test_on_time_work_is_not_delayed_by_a_backfill_of_five_thousand_runs(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    async with replica(dsn) as only:
        backfill_id = await backfill(only, sink.url("/wait/20"), minutes=84)
        await schedule(ledger, sink.url(), jobs=1000, begin_seconds=2, over_seconds=40)
        after = await ended(only, backfill_id, seconds=150)
        await all_ended(ledger, jobs=6040, seconds=20)
    late = await ledger.fetchrow(
        """
        SELECT count(*), percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness_ms) AS half,
            percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness_ms) AS most,
            max(lateness_ms) AS worst
        FROM runs WHERE trigger = 'schedule' AND status = 'succeeded'
        """
    )
    assert late is not None
    print(f"on time: {late['count']} p50 {late['half']} p99 {late['most']} max {late['worst']} ms")
    assert (after["status"], after["total"], after["created"]) == ("completed", 5040, 5040)
    assert after["done"] == 5040
    assert late["count"] == 1000
    assert late["most"] < BUSY_MACHINE_MS


async def test_a_backfill_is_whole_though_a_replica_is_killed_in_the_middle(
    dsn: str, sink: Sinking, ledger: Connection
) -> None:
    short = {"lease": "3s", "heartbeat": "500ms"}
    async with replica(dsn, **short) as victim, replica(dsn, **short) as other:
        backfill_id = await backfill(other, sink.url("/wait/50"), minutes=10)
        await all_ended(ledger, jobs=150, seconds=60)
        victim.program.tell(signal.SIGKILL)
        after = await ended(other, backfill_id, seconds=120)
    assert (after["status"], after["created"], after["done"]) == ("completed", 600, 600)
    rows = await ledger.fetch("SELECT scheduled_for, status, lost_count FROM runs")
    assert len(rows) == len({row["scheduled_for"] for row in rows}) == 600
    assert {row["status"] for row in rows} == {"succeeded"}
    print("lost attempts", sum(row["lost_count"] for row in rows))
    taken = await sink.taken()
    assert len({call.run for call in taken}) == 600
    assert len(taken) <= 600 + sum(row["lost_count"] for row in rows)
