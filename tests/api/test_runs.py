"""Runs over HTTP: history newest first, one run with its attempts, cancel and replay."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, claim, create, settle, waiting_run
from scheduler_svc.domain.ids import run_id
from scheduler_svc.domain.runs import Trigger
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
ATTEMPT: Json = {
    "number": 1,
    "started_at": "2026-01-05T09:00:00.003000Z",
    "duration_ms": 12.5,
    "outcome": "http_error",
    "status_code": 503,
    "response": {"headers": {"server": "x"}, "body": "later", "truncated": False},
    "timing": {"connect_ms": 0.4, "first_byte_ms": 9.0},
}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def ids(http: httpx2.AsyncClient, path: str) -> list[str]:
    answer = await http.get(path)
    assert answer.status_code == 200, answer.text
    return [run["id"] for run in answer.json()["items"]]


async def a_settled_run(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock, **changes: Any
) -> tuple[Json, str]:
    """A job whose first occurrence has failed."""
    made = await create(http, name="r", **changes)
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    failed = str(decision.runs[0].id)
    await settle(
        pool,
        failed,
        made["id"],
        now_ms=clock.ms,
        status="failed",
        reason="attempts",
        records=[ATTEMPT],
    )
    return made, failed


async def test_a_run_shows_everything_that_became_of_it(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made, failed = await a_settled_run(http, pool, clock)
    assert failed == str(run_id(UUID(made["id"]), MORNING_MS + HOUR_MS))
    run = (await http.get(f"/runs/{failed}")).json()
    assert run.pop("replays") == {"count": 0, "succeeded": 0, "failed": 0, "unfinished": 0}
    replica = run.pop("replica")
    assert UUID(replica).version == 4
    assert run == {
        "id": failed,
        "job_id": made["id"],
        "job_name": "r",
        "namespace": "default",
        "trace_id": failed.replace("-", ""),
        "trigger": "schedule",
        "scheduled_for": "2026-01-05T09:00:00Z",
        "occurrences": 1,
        "scheduled_until": None,
        "status": "failed",
        "reason": "attempts",
        "attempt_count": 1,
        "replay_of": None,
        "backfill_id": None,
        "replay_id": None,
        "completion": None,
        "claimed_at": "2026-01-05T09:00:00Z",
        "started_at": "2026-01-05T09:00:00Z",
        "finished_at": "2026-01-05T09:00:00Z",
        "lateness_ms": 7,
        "duration_ms": 12,
        "next_attempt_at": None,
        "attempts": [
            {
                "number": 1,
                "started_at": "2026-01-05T09:00:00.003Z",
                "duration_ms": 12.5,
                "outcome": "http_error",
                "status_code": 503,
                "error": None,
                "response": {
                    "headers": {"server": "x"},
                    "body": "later",
                    "body_base64": None,
                    "truncated": False,
                    "omitted": None,
                },
                "timing": {
                    "dns_ms": None,
                    "connect_ms": 0.4,
                    "tls_ms": None,
                    "first_byte_ms": 9.0,
                },
                "replica": None,
            }
        ],
        "deferral": None,
    }
    assert (await http.get("/jobs/r/runs")).json()["items"] == [{**run, "replica": replica}]
    last = (await http.get("/jobs/r")).json()["last_run"]
    assert (last["id"], last["status"]) == (failed, "failed")


@pytest.mark.parametrize(
    "key",
    ["nobody", str(UUID(int=1, version=4)), "ffffffff-ffff-8fff-bfff-ffffffffffff", "%00", "r"],
)
async def test_an_unknown_run_is_404_under_every_verb(http: httpx2.AsyncClient, key: str) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/replay")):
        answer = await http.request(method, f"/runs/{key}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.fixture
async def history(http: httpx2.AsyncClient, pool: Pool) -> tuple[list[str], Json, Json]:
    """Ten waiting runs of two jobs in turn, an hour apart over two days; two at one instant."""
    one, two = await create(http, name="one"), await create(http, name="two")
    made = []
    for n in range(10):
        job = (one, two)[n % 2]
        at_ms = MORNING_MS + (n if n < 9 else 8) * 5 * HOUR_MS
        trigger: Trigger = "manual" if n < 5 else "backfill"
        made.append(str(await waiting_run(pool, UUID(job["id"]), at_ms=at_ms, trigger=trigger)))
    last_two = sorted(made[8:])
    return [*made[:8], *last_two], one, two


@pytest.mark.parametrize("limit", [1, 3, 10])
async def test_runs_page_newest_first_without_gap_or_repeat(
    http: httpx2.AsyncClient, history: tuple[list[str], Json, Json], limit: int
) -> None:
    made, one, _ = history
    for path, expected in (
        ("/runs", made[::-1]),
        (
            "/jobs/one/runs",
            [
                run
                for run in made[::-1]
                if run in await ids(http, f"/runs?job_id={one['id']}&limit=500")
            ],
        ),
    ):
        found: list[str] = []
        cursor = ""
        while True:
            page = (await http.get(f"{path}?limit={limit}{cursor}")).json()
            found += [run["id"] for run in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == expected


async def test_filters_of_runs_narrow_the_list_and_all_must_hold(
    http: httpx2.AsyncClient, history: tuple[list[str], Json, Json]
) -> None:
    made, one, _ = history
    newest = made[::-1]
    assert await ids(http, "/runs?trigger=manual") == newest[5:]
    assert await ids(http, "/runs?status=due") == newest
    assert await ids(http, "/runs?status=failed") == []
    assert await ids(http, f"/runs?job_id={uuid4()}") == []
    assert await ids(http, f"/runs?job_id={one['id']}&trigger=manual") == [
        made[4],
        made[2],
        made[0],
    ]
    # `since` is inclusive, `until` exclusive: runs 1 and 2 are at 13:00 and 18:00.
    since, until = "2026-01-05T13:00:00Z", "2026-01-05T23:00:00Z"
    assert await ids(http, f"/runs?since={since}&until={until}") == [made[2], made[1]]
    offset = "2026-01-05T14:00:00%2B01:00"
    assert await ids(http, f"/runs?since={offset}&until={since}") == []
    assert await ids(http, f"/jobs/two/runs?since={offset}&until={until}") == [made[1]]
    assert await ids(http, "/runs?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z") == newest


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("status=done", "status"),
        ("trigger=cron", "trigger"),
        ("since=yesterday", "since"),
        ("since=2026-01-05T00:00:00", "since"),
        ("job_id=r", "job_id"),
        ("limit=501", "limit"),
        ("cursor=AAAA", "cursor"),
        ("sort=id", "sort"),
    ],
)
async def test_a_bad_filter_of_runs_is_named(
    http: httpx2.AsyncClient, query: str, parameter: str
) -> None:
    answer = await http.get(f"/runs?{query}")
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


async def test_a_waiting_run_is_cancelled_at_once_and_an_ended_one_not_again(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="r")
    run = (await http.post("/jobs/r/trigger")).json()
    clock.ms = MORNING_MS + 1
    answer = await http.post(f"/runs/{run['id']}/cancel")
    told = answer.json()
    assert (answer.status_code, told["status"], told["reason"]) == (200, "cancelled", "cancelled")
    assert (told["finished_at"], told["next_attempt_at"]) == ("2026-01-05T08:00:00.001Z", None)
    answer = await http.post(f"/runs/{run['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_running_run_is_asked_to_end(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await create(http, name="r")
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    answer = await http.post(f"/runs/{decision.runs[0].id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert await pool.fetchval("SELECT cancel_requested FROM runs") is True


async def test_cancelling_what_is_in_the_way_lets_the_queued_run_go(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="r", overlap="queue")
    first = (await http.post("/jobs/r/trigger")).json()
    second = (await http.post("/jobs/r/trigger")).json()
    queued = "SELECT queued FROM runs WHERE id = $1"
    assert await pool.fetchval(queued, UUID(second["id"])) is True
    await http.post(f"/runs/{first['id']}/cancel")
    assert await pool.fetchval(queued, UUID(second["id"])) is False


async def test_a_replay_is_a_run_of_its_own_with_the_time_of_the_first(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    _, failed = await a_settled_run(http, pool, clock)
    clock.ms = MORNING_MS + 90 * 60_000
    before = (await http.get("/jobs/r")).json()["next_fire_at"]
    answer = await http.post(f"/runs/{failed}/replay")
    again = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/runs/{again['id']}"
    assert (again["trigger"], again["status"], again["replay_of"]) == ("replay", "due", failed)
    assert again["scheduled_for"] == "2026-01-05T09:00:00Z"
    assert again["next_attempt_at"] == "2026-01-05T09:30:00Z"
    assert again["id"] != failed
    assert (await http.get(f"/runs/{failed}")).json()["status"] == "failed"
    assert (await http.get("/jobs/r")).json()["next_fire_at"] == before
    twice = (await http.post(f"/runs/{failed}/replay")).json()
    assert twice["id"] not in {again["id"], failed}


async def test_a_replay_repeats_what_the_trigger_had_overridden(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="r")
    run = (await http.post("/jobs/r/trigger", json={"body": [1], "headers": {"a": "b"}})).json()
    await http.post(f"/runs/{run['id']}/cancel")
    again = (await http.post(f"/runs/{run['id']}/replay")).json()
    rows = await pool.fetch("SELECT id, overrides FROM runs")
    kept = {str(row["id"]): row["overrides"] for row in rows}
    assert kept[again["id"]] == kept[run["id"]] == '{"headers":{"a":"b"},"body":"[1]"}'


async def test_an_unfinished_run_and_one_of_a_deleted_job_are_not_replayed(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="r")
    run = (await http.post("/jobs/r/trigger")).json()
    answer = await http.post(f"/runs/{run['id']}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    await http.delete("/jobs/r")
    answer = await http.post(f"/runs/{run['id']}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "deleted" in answer.json()["detail"]
