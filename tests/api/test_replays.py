"""Replays by filter over HTTP: what matches, what is refused, and the chain of a run."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, create, waiting_run
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def ended(
    pool: Pool, job: Json, at_ms: int, status: str, reason: str | None, **changes: Any
) -> str:
    run = await waiting_run(pool, UUID(job["id"]), at_ms=at_ms, **changes)
    await pool.execute(
        "UPDATE runs SET status = $2, reason = $3, finished_at = $4, next_attempt_at = NULL"
        " WHERE id = $1",
        run,
        status,
        reason,
        instant_at(at_ms),
    )
    return str(run)


@pytest.fixture
async def history(http: httpx2.AsyncClient, pool: Pool) -> tuple[Json, Json]:
    """Two jobs with runs of every end, an hour apart, the last an hour ago."""
    one = await create(http, name="one", labels={"team": "a"})
    two = await create(http, name="two", labels={"team": "b"})
    for n, (status, reason) in enumerate(
        [
            ("failed", "attempts"),
            ("failed", "status"),
            ("failed", "attempts"),
            ("cancelled", "cancelled"),
            ("succeeded", None),
            ("skipped", "overlap"),
        ]
    ):
        await ended(pool, (one, two)[n % 2], MORNING_MS - (n + 1) * HOUR_MS, status, reason)
    await ended(pool, one, MORNING_MS - HOUR_MS, "failed", "attempts", trigger="replay")
    await ended(pool, one, MORNING_MS - HOUR_MS, "failed", "attempts", trigger="alert")
    return one, two


async def counted(http: httpx2.AsyncClient, wanted: Json) -> int:
    answer = await http.post("/runs/replay", json={"filter": wanted, "dry_run": True})
    assert answer.status_code == 200, answer.text
    count: int = answer.json()["count"]
    return count


async def test_every_condition_of_the_filter_must_hold(
    http: httpx2.AsyncClient, history: tuple[Json, Json]
) -> None:
    one, _ = history
    assert await counted(http, {}) == 3
    assert await counted(http, {"status": "cancelled"}) == 1
    assert await counted(http, {"status": "succeeded"}) == 1
    assert await counted(http, {"status": "skipped"}) == 1
    assert await counted(http, {"reason": "status"}) == 1
    assert await counted(http, {"job_id": one["id"]}) == 2
    assert await counted(http, {"job_id": str(uuid4())}) == 0
    assert await counted(http, {"label": ["team:a"]}) == 2
    assert await counted(http, {"label": ["team:a"], "reason": "status"}) == 0
    assert await counted(http, {"trigger": "manual"}) == 3
    assert await counted(http, {"trigger": "replay"}) == 1
    assert await counted(http, {"trigger": "alert"}) == 1
    # `since` is inclusive, `until` exclusive: the failed ones are at 7, 6 and 5 o'clock.
    assert await counted(http, {"since": "2026-01-05T06:00:00Z"}) == 2
    assert await counted(http, {"until": "2026-01-05T06:00:00Z"}) == 1
    assert (
        await counted(http, {"since": "2026-01-05T07:00:00+01:00", "until": "2026-01-05T07:00:00Z"})
        == 1
    )


async def test_a_compact_row_and_the_runs_of_a_deleted_job_are_left_out(
    http: httpx2.AsyncClient, pool: Pool, history: tuple[Json, Json]
) -> None:
    await pool.execute(
        "UPDATE runs SET occurrences = 5, scheduled_until = scheduled_for WHERE status = 'skipped'"
    )
    assert await counted(http, {"status": "skipped"}) == 0
    await http.delete("/jobs/one")
    assert await counted(http, {}) == 1


async def test_a_replay_is_a_resource_with_a_list(
    http: httpx2.AsyncClient, history: tuple[Json, Json], clock: Clock
) -> None:
    answer = await http.post(
        "/runs/replay",
        json={"filter": {"reason": "attempts"}, "max_per_minute": 30, "expect_count": 2},
    )
    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/replays/{made['id']}"
    assert made == {
        "id": made["id"],
        "filter": {
            "status": "failed",
            "job_id": None,
            "since": None,
            "until": None,
            "reason": "attempts",
            "trigger": None,
            "label": [],
        },
        "max_per_minute": 30,
        "status": "running",
        "reason": None,
        "total": 2,
        "created": 0,
        "left_out": 0,
        "done": 0,
        "created_at": "2026-01-05T08:00:00Z",
        "finished_at": None,
    }
    assert (await http.get(f"/replays/{made['id']}")).json() == made
    clock.ms = MORNING_MS + 1
    await http.post("/runs/replay", json={"filter": {"reason": "none"}})
    listed = (await http.get("/replays?limit=1")).json()
    assert [one["status"] for one in listed["items"]] == ["completed"]
    rest = (await http.get(f"/replays?limit=1&cursor={listed['next_cursor']}")).json()
    assert rest == {"items": [made], "next_cursor": None}
    assert (await http.get("/replays?status=running")).json()["items"] == [made]


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [
        ({}, "/filter"),
        ({"filter": {}}, "/expect_count"),
        ({"filter": {"status": "cancelled"}}, "/expect_count"),
        ({"filter": {"status": "running"}}, "/filter/status"),
        ({"filter": {"label": ["team"]}}, "/filter/label"),
        ({"filter": {"label": ["a:1", "a:2"]}}, "/filter/label"),
        ({"filter": {"job": "x"}}, "/filter/job"),
        ({"filter": {"reason": "x"}, "max_per_minute": 0}, "/max_per_minute"),
        ({"filter": {"reason": "x"}, "max_per_minute": 6001}, "/max_per_minute"),
        (
            {"filter": {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}},
            "/filter/until",
        ),
    ],
)
async def test_what_asks_for_too_much_or_nothing_is_refused(
    http: httpx2.AsyncClient, sent: Json, pointer: str
) -> None:
    answer = await http.post("/runs/replay", json=sent)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_another_number_than_expected_is_a_conflict_and_nothing_is_made(
    http: httpx2.AsyncClient, history: tuple[Json, Json]
) -> None:
    answer = await http.post("/runs/replay", json={"filter": {}, "expect_count": 4})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "3 runs match" in answer.json()["detail"]
    assert (await http.get("/replays")).json()["items"] == []


async def test_a_cancelled_replay_is_not_cancelled_again_and_an_unknown_one_is_404(
    http: httpx2.AsyncClient, history: tuple[Json, Json]
) -> None:
    made = (await http.post("/runs/replay", json={"filter": {"reason": "status"}})).json()
    assert (await http.post(f"/replays/{made['id']}/cancel")).status_code == 200
    answer = await http.post(f"/replays/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    for key in (str(uuid4()), "x"):
        assert (await http.get(f"/replays/{key}")).status_code == 404
        assert (await http.post(f"/replays/{key}/cancel")).status_code == 404


async def test_a_run_shows_its_replays_and_they_are_listed(
    http: httpx2.AsyncClient, pool: Pool, history: tuple[Json, Json], clock: Clock
) -> None:
    (original,) = (await http.get("/runs?status=failed&until=2026-01-05T06:00:00Z")).json()["items"]
    first = (await http.post(f"/runs/{original['id']}/replay")).json()
    await http.post(f"/runs/{first['id']}/cancel")
    clock.ms = MORNING_MS + 1000
    second = (await http.post(f"/runs/{original['id']}/replay")).json()
    shown = (await http.get(f"/runs/{original['id']}")).json()["replays"]
    assert shown == {"count": 2, "succeeded": 0, "failed": 0, "unfinished": 1}
    listed = (await http.get(f"/runs?replay_of={original['id']}")).json()["items"]
    assert {run["id"] for run in listed} == {first["id"], second["id"]}
    assert (await http.get(f"/runs?replay_of={first['id']}")).json()["items"] == []
    beyond = "ffffffff-ffff-8fff-bfff-ffffffffffff"
    assert (await http.get(f"/runs?replay_of={beyond}")).json()["items"] == []
    none = f"/runs?replay_of={original['id']}&until=2026-01-05T01:00:00Z"
    assert (await http.get(none)).json()["items"] == []


async def test_a_failed_alert_is_replayed_as_an_alert_also_after_its_job(
    http: httpx2.AsyncClient, history: tuple[Json, Json]
) -> None:
    (alert,) = (await http.get("/runs?trigger=alert")).json()["items"]
    await http.delete("/jobs/one")
    answer = await http.post(f"/runs/{alert['id']}/replay")
    assert (answer.status_code, answer.json()["trigger"]) == (202, "alert")
    assert answer.json()["replay_of"] == alert["id"]
