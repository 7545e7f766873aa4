"""Backfills over HTTP: counted first, made, listed, cancelled, and gone with their job."""

from typing import Any
from uuid import UUID

import httpx2
import pytest

from factories import MORNING_MS, Clock, create, waiting_run
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

Json = dict[str, Any]
DAY = {"from": "2026-01-04T00:00:00Z", "to": "2026-01-05T00:00:00Z"}
HOURLY = {"cron": "0 * * * *"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def ask(http: httpx2.AsyncClient, key: str = "t", **changes: Any) -> Json:
    answer = await http.post(f"/jobs/{key}/backfill", json={**DAY, **changes})
    assert answer.status_code == 202, answer.text
    made: Json = answer.json()
    return made


async def made_of(pool: Pool, backfill: Json, count: int) -> None:
    """Have an engine make so many runs of a backfill: they wait."""
    for n in range(count):
        await waiting_run(
            pool,
            UUID(backfill["job_id"]),
            at_ms=MORNING_MS - n - 1,
            trigger="backfill",
            backfill_id=UUID(backfill["id"]),
        )
    await pool.execute(
        "UPDATE backfills SET created = $2 WHERE id = $1", UUID(backfill["id"]), count
    )


async def test_a_backfill_answers_202_with_what_it_will_send(http: httpx2.AsyncClient) -> None:
    job = await create(http, name="t", schedule=HOURLY)
    answer = await http.post("/jobs/t/backfill", json=DAY)
    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/backfills/{made['id']}"
    assert made == {
        "id": made["id"],
        "job_id": job["id"],
        **DAY,
        "overlap": "allow",
        "max_per_minute": 60,
        "status": "running",
        "reason": None,
        "total": 24,
        "created": 0,
        "done": 0,
        "created_at": "2026-01-05T08:00:00Z",
        "finished_at": None,
    }
    assert (await http.get(f"/backfills/{made['id']}")).json() == made
    assert (await http.get("/jobs/t")).json() == job


async def test_a_dry_run_counts_from_the_first_inclusive_to_the_last_exclusive_and_makes_nothing(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="t", schedule=HOURLY)
    answer = await http.post("/jobs/t/backfill", json={**DAY, "dry_run": True})
    assert answer.status_code == 200
    assert answer.json() == {
        "count": 24,
        "first": "2026-01-04T00:00:00Z",
        "last": "2026-01-04T23:00:00Z",
    }
    empty = {**DAY, "to": "2026-01-04T01:00:00Z", "from": "2026-01-04T00:00:01Z", "dry_run": True}
    answer = await http.post("/jobs/t/backfill", json=empty)
    assert answer.json() == {"count": 0, "first": None, "last": None}
    assert (await http.get("/backfills")).json()["items"] == []


async def test_a_range_without_occurrences_is_completed_at_once(http: httpx2.AsyncClient) -> None:
    await create(http, name="t", schedule=HOURLY)
    made = await ask(http, **{"from": "2026-01-04T00:00:01Z", "to": "2026-01-04T00:59:00Z"})
    assert (made["status"], made["total"]) == ("completed", 0)
    assert made["finished_at"] == made["created_at"]


async def test_two_backfills_of_one_range_are_two(http: httpx2.AsyncClient) -> None:
    await create(http, name="t", schedule=HOURLY)
    assert (await ask(http))["id"] != (await ask(http))["id"]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"to": DAY["from"]}, ["/to"]),
        ({"to": "2026-01-05T08:00:00.001Z"}, ["/to"]),
        ({"from": "2027-01-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}, ["/to", "/to"]),
        ({"from": "2026-01-01T00:00:00"}, ["/from"]),
        ({"overlap": "cancel"}, ["/overlap"]),
        ({"max_per_minute": 0}, ["/max_per_minute"]),
        ({"max_per_minute": 6001}, ["/max_per_minute"]),
        ({"rate": 1}, ["/rate"]),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
async def test_what_can_not_be_is_refused_with_its_pointer(
    http: httpx2.AsyncClient, changes: Json, pointers: list[str], *, dry_run: bool
) -> None:
    await create(http, name="t", schedule=HOURLY)
    answer = await http.post(
        "/jobs/t/backfill", json={**DAY, **changes, **({"dry_run": True} if dry_run else {})}
    )
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers


async def test_more_than_a_million_occurrences_are_refused_though_only_counted(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="t", schedule={"cron": "* * * * * *"})
    for dry_run in (True, False):
        answer = await http.post(
            "/jobs/t/backfill",
            json={**DAY, "from": "2025-12-24T10:13:19Z", "dry_run": dry_run},
        )
        assert answer.status_code == 422
        assert "1,000,000" in answer.json()["errors"][0]["detail"]
    exactly = {**DAY, "from": "2025-12-24T10:13:20Z", "dry_run": True}
    assert (await http.post("/jobs/t/backfill", json=exactly)).json()["count"] == 1_000_000


@pytest.mark.parametrize("state", ["paused", "completed"])
async def test_paused_and_completed_jobs_can_be_backfilled(
    http: httpx2.AsyncClient, state: str
) -> None:
    past = {"cron": "0 * * * *", "end": "2026-01-05T00:00:00Z"}
    await create(http, name="t", schedule=past if state == "completed" else HOURLY)
    if state == "paused":
        await http.post("/jobs/t/pause")
    assert (await ask(http))["total"] == 24
    assert (await http.get("/jobs/t")).json()["state"] == state


async def test_done_is_what_was_made_less_what_is_unfinished(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="t", schedule=HOURLY)
    made = await ask(http)
    await made_of(pool, made, 3)
    await pool.execute(
        "UPDATE runs SET status = 'cancelled', reason = 'cancelled', finished_at = now(),"
        " next_attempt_at = NULL WHERE scheduled_for = $1",
        instant_at(MORNING_MS - 1),
    )
    seen = (await http.get(f"/backfills/{made['id']}")).json()
    assert (seen["created"], seen["done"]) == (3, 1)
    assert (await http.get("/backfills")).json()["items"] == [seen]


async def test_cancelling_ends_what_waits_and_says_so(http: httpx2.AsyncClient, pool: Pool) -> None:
    await create(http, name="t", schedule=HOURLY)
    made = await ask(http)
    await made_of(pool, made, 2)
    await pool.execute(
        "UPDATE runs SET status = 'running', replica = gen_random_uuid() WHERE scheduled_for = $1",
        instant_at(MORNING_MS - 1),
    )
    answer = await http.post(f"/backfills/{made['id']}/cancel")
    assert answer.status_code == 200
    after = answer.json()
    assert (after["status"], after["reason"]) == ("cancelled", "cancelled")
    assert (after["created"], after["done"], after["finished_at"]) == (2, 1, "2026-01-05T08:00:00Z")
    runs = (await http.get("/jobs/t/runs")).json()["items"]
    assert [(run["status"], run["backfill_id"]) for run in runs] == [
        ("running", made["id"]),
        ("cancelled", made["id"]),
    ]
    again = await http.post(f"/backfills/{made['id']}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_deleting_the_job_cancels_its_backfills(http: httpx2.AsyncClient, pool: Pool) -> None:
    job = await create(http, name="t", schedule=HOURLY)
    made = await ask(http)
    await made_of(pool, made, 2)
    await http.delete("/jobs/t")
    after = (await http.get(f"/backfills/{made['id']}")).json()
    assert (after["status"], after["reason"], after["done"]) == ("cancelled", "job_deleted", 2)
    listed = await http.get("/backfills", params={"job_id": job["id"]})
    assert listed.json()["items"] == [after]


async def test_the_list_pages_newest_first_without_gap_or_repeat(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="t", schedule=HOURLY)
    other = await create(http, name="u", schedule=HOURLY)
    ids = []
    for n in range(7):
        clock.ms = MORNING_MS + n // 2 * 1000
        ids.append((await ask(http, "u" if n == 3 else "t"))["id"])
    seen: list[Json] = []
    url: str | None = "/backfills?limit=2"
    while url is not None:
        page = await http.get(url)
        seen += page.json()["items"]
        url = page.links["next"]["url"] if "next" in page.links else None
    assert sorted(one["id"] for one in seen) == sorted(ids)
    places = [(one["created_at"], one["id"]) for one in seen]
    assert places == sorted(places, reverse=True)
    only = (await http.get("/backfills", params={"job_id": other["id"]})).json()["items"]
    assert [one["id"] for one in only] == [ids[3]]


async def test_the_list_filters_by_status_and_its_cursor_belongs_to_its_filters(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="t", schedule=HOURLY)
    made = [await ask(http) for _ in range(3)]
    await http.post(f"/backfills/{made[1]['id']}/cancel")
    for status, count in (("running", 2), ("cancelled", 1), ("completed", 0)):
        page = await http.get("/backfills", params={"status": status, "limit": 1})
        found = page.json()
        assert len(found["items"]) == min(count, 1)
        assert (found["next_cursor"] is not None) is (count > 1)
    first = (await http.get("/backfills?limit=1")).json()
    stolen = await http.get(
        "/backfills", params={"cursor": first["next_cursor"], "status": "running"}
    )
    assert stolen.status_code == 422


@pytest.mark.parametrize("key", ["019b8f3a-1c00-7a4e-9d3b-6f2c1e7a5b40", "nonsense"])
async def test_one_that_is_not_there_is_404(http: httpx2.AsyncClient, key: str) -> None:
    assert (await http.get(f"/backfills/{key}")).status_code == 404
    assert (await http.post(f"/backfills/{key}/cancel")).status_code == 404
    assert (await http.post(f"/jobs/{key}/backfill", json=DAY)).status_code == 404


async def test_an_edit_of_the_schedule_leaves_a_backfill_with_the_old_one(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="t", schedule=HOURLY)
    made = await ask(http)
    await http.patch("/jobs/t", json={"schedule": {"cron": "0 0 * * *"}})
    kept = await pool.fetchval("SELECT schedule->>'cron' FROM backfills")
    assert kept == "0 * * * *"
    assert (await http.get(f"/backfills/{made['id']}")).json()["total"] == 24
