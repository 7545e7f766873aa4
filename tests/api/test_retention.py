"""What a job or a namespace asks to be kept of its history: judged, shown, and told by explain."""

from typing import Any

import httpx2
import pytest
from msgspec import structs

from factories import MORNING_MS, Clock, body, claim, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store import archives, histories, partitions
from scheduler_svc.store.archives import Turn
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


@pytest.fixture
def deps(deps: Deps) -> Deps:
    return structs.replace(deps, retention_max_ms=30 * DAY_MS)


async def test_a_job_asks_and_is_shown_in_normal_form_and_says_null_without(
    http: httpx2.AsyncClient,
) -> None:
    plain = await create(http, name="plain")
    assert plain["retention"] is None
    made = await create(http, name="x", retention={"age": "72h", "count": 100})
    assert made["retention"] == {"age": "3d", "count": 100}
    spec = (await http.get("/jobs/x", params={"view": "spec"})).json()
    again = await http.put("/jobs/x", json=spec)
    assert (again.status_code, again.json()["changed"]) == (200, False)
    spec = (await http.get("/jobs/plain", params={"view": "spec"})).json()
    assert (await http.put("/jobs/plain", json=spec)).json()["changed"] is False


async def test_a_patch_changes_one_of_both_and_null_takes_all_back(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="x", retention={"age": "3d", "count": 100})
    changed = await http.patch("/jobs/x", json={"retention": {"count": None}})
    assert changed.json()["retention"] == {"age": "3d", "count": None}
    changed = await http.patch("/jobs/x", json={"retention": None})
    assert changed.json()["retention"] is None


async def test_a_job_that_asks_for_nothing_is_stored_as_one_that_never_did(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    """So that a build which does not know of it can read the job."""
    await create(http, name="x", retention={"age": None, "count": None})
    await create(http, name="y")
    assert (
        await pool.fetchval("SELECT count(*) FROM jobs WHERE definition::text ~ 'retention'") == 0
    )


@pytest.mark.parametrize(
    ("asked", "pointer", "word"),
    [
        ({"age": "59m"}, "/retention/age", "at least 1h"),
        ({"age": "31d"}, "/retention/age", "longer than the operator keeps history, 30d"),
        ({"age": "soon"}, "/retention/age", ""),
        ({"count": 0}, "/retention/count", "from 1 to 10000, not 0"),
        ({"count": 10_001}, "/retention/count", "from 1 to 10000, not 10001"),
        ({"days": 3}, "/retention/days", ""),
    ],
)
async def test_what_can_not_be_kept_is_refused_for_jobs_and_namespaces(
    http: httpx2.AsyncClient, asked: dict[str, Any], pointer: str, word: str
) -> None:
    for answer in (
        await http.post("/jobs", json=body(retention=asked)),
        await http.put("/namespaces/default", json={"retention": asked}),
    ):
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == pointer
        assert word in fault["detail"]


async def test_it_is_named_beside_all_other_faults(http: httpx2.AsyncClient) -> None:
    asked = {"retention": {"age": "1m"}}
    answer = await http.post("/jobs", json=body(**asked, priority=1000))
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [
        "/priority",
        "/retention/age",
    ]
    answer = await http.put("/namespaces/default", json={**asked, "colour": "red"})
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"/colour", "/retention/age"}


async def test_what_was_good_when_it_was_asked_does_not_stand_in_the_way_of_another_edit(
    http: httpx2.AsyncClient, deps: Deps
) -> None:
    await create(http, name="x", retention={"age": "20d"})
    app = build_app(structs.replace(deps, retention_max_ms=10 * DAY_MS))
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as later:
        assert (await later.patch("/jobs/x", json={"priority": 3})).status_code == 200
        refused = await later.patch("/jobs/x", json={"retention": {"age": "19d"}})
        assert refused.status_code == 422


async def test_a_namespace_asks_for_its_jobs(http: httpx2.AsyncClient) -> None:
    answer = await http.put("/namespaces/team-a", json={"retention": {"age": "48h", "count": 5}})
    assert answer.json()["retention"] == {"age": "2d", "count": 5}
    again = await http.put("/namespaces/team-a", json={"retention": {"age": "2d", "count": 5}})
    assert again.json()["revision"] == 1


async def test_explain_says_of_a_run_that_was_pruned_by_row_that_it_was(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 3 * DAY_MS
    made = await create(http, name="x", schedule={"cron": "0 9 * * *"})
    clock.ms = MORNING_MS
    await claim(pool, now_ms=clock.ms)
    await pool.execute("DELETE FROM runs")
    at_ms = MORNING_MS + HOUR_MS - 2 * DAY_MS
    async with pool.acquire() as conn:  # whatever days other tests have left behind
        await partitions.ensure(conn, today=instant_at(at_ms - DAY_MS).date(), ahead=0)
    params = {"at": instant_at(at_ms).isoformat()}
    told = (await http.get("/jobs/x/explain", params=params)).json()
    assert told["reason"] == "no_record"
    await pool.execute(
        "INSERT INTO history_marks VALUES ($1, $2)", made["id"], instant_at(at_ms + 1)
    )
    told = (await http.get("/jobs/x/explain", params=params)).json()
    assert (told["verdict"], told["reason"]) == ("never", "pruned")
    assert "History of the job begins at 2026-01-03T09:00:00.001Z" in told["detail"]
    async with pool.acquire() as conn:
        turn = Turn(instant_at(at_ms).date(), made["id"])
        await archives.claim(conn, turn, now_ms=clock.ms)
        await archives.seal(conn, turn, file="runs-2026-01-03.csv.gz", sha256="0")
        await archives.end(conn, turn, now_ms=clock.ms)
    told = (await http.get("/jobs/x/explain", params=params)).json()
    assert told["detail"].endswith("its day is in the archive, runs-2026-01-03.csv.gz.")


async def test_explain_does_not_say_that_a_spent_job_skipped_what_was_pruned(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 3 * DAY_MS
    made = await create(http, name="x", schedule={"cron": "0 9 * * *", "max_runs": 1})
    clock.ms = MORNING_MS
    at_ms = MORNING_MS + HOUR_MS - 3 * DAY_MS
    await claim(pool, now_ms=at_ms)
    await pool.execute("UPDATE jobs SET state = 'completed'")
    await pool.execute("DELETE FROM runs")
    async with pool.acquire() as conn:
        assert await histories.pruned_before(conn, made["id"]) == 0
    await pool.execute(
        "INSERT INTO history_marks VALUES ($1, $2)", made["id"], instant_at(at_ms + 1)
    )
    params = {"at": instant_at(at_ms).isoformat()}
    assert (await http.get("/jobs/x/explain", params=params)).json()["reason"] == "pruned"
