"""What the API keeps for the drift guard: the coming instants of a job, once it is defined."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, Clock, body, create
from scheduler_svc.api.wire import stamp
from scheduler_svc.domain.drift import versions
from scheduler_svc.store.pool import Pool


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def kept(pool: Pool) -> tuple[str, list[str], bool]:
    row = await pool.fetchrow("SELECT * FROM job_expectations")
    assert row is not None
    return row["versions"], [stamp(at) for at in row["instants"]], row["refresh_at"] is not None


async def test_the_next_three_instants_are_kept_at_create_and_at_each_new_schedule(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made: dict[str, Any] = await create(http, name="a", schedule={"cron": "0 9 * * *"})
    assert await kept(pool) == (versions(), made["upcoming"][:3], True)
    sent = body(schedule={"cron": "0 10 * * *"})
    made = (await http.put("/jobs/a", json=sent)).json()
    assert await kept(pool) == (versions(), made["upcoming"][:3], True)
    await http.post("/jobs/a/pause")
    made = (await http.patch("/jobs/a", json={"schedule": {"cron": "0 11 * * *"}})).json()
    assert await kept(pool) == (versions(), made["upcoming"][:3], True)


async def test_what_no_version_can_move_is_never_renewed_and_goes_with_its_job(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="a", schedule={"every": "1h"})
    assert await kept(pool) == (versions(), made["upcoming"][:3], False)
    await http.delete("/jobs/a")
    assert await pool.fetchval("SELECT count(*) FROM job_expectations") == 0
