"""Trigger: a run now, beside the cadence, under the job's overlap policy."""

from uuid import UUID, uuid4

import httpx2
import pytest

from factories import MORNING_MS, Clock, claim, create, forget, settle
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def statuses(http: httpx2.AsyncClient, key: str) -> dict[str, str]:
    items = (await http.get(f"/jobs/{key}/runs")).json()["items"]
    return {run["id"]: run["status"] for run in items}


async def test_a_trigger_answers_202_with_a_run_that_is_due_now(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="t", priority=4)
    answer = await http.post("/jobs/t/trigger")
    run = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/runs/{run['id']}"
    assert (run["trigger"], run["status"], run["job_name"]) == ("manual", "due", "t")
    assert run["scheduled_for"] == run["next_attempt_at"] == "2026-01-05T08:00:00Z"
    seen = (await http.get(f"/runs/{run['id']}")).json()
    replays = {"count": 0, "succeeded": 0, "failed": 0, "unfinished": 0}
    assert seen == {**run, "replays": replays}
    after = (await http.get("/jobs/t")).json()
    assert after["last_run"]["id"] == run["id"]
    assert {**after, "last_run": None} == made


async def test_triggers_of_one_instant_are_different_runs(http: httpx2.AsyncClient) -> None:
    await create(http, name="t", overlap="allow")
    ids = {(await http.post("/jobs/t/trigger")).json()["id"] for _ in range(5)}
    assert len(ids) == 5
    assert {UUID(one).version for one in ids} == {8}


@pytest.mark.parametrize("state", ["paused", "completed"])
async def test_paused_and_completed_jobs_are_triggered_too(
    http: httpx2.AsyncClient, state: str
) -> None:
    past = {"cron": "0 * * * *", "end": "2026-01-05T00:00:00Z"}
    await create(http, name="t", **({"schedule": past} if state == "completed" else {}))
    if state == "paused":
        await http.post("/jobs/t/pause")
    assert (await http.post("/jobs/t/trigger")).status_code == 202
    assert (await http.get("/jobs/t")).json()["state"] == state


async def test_overrides_are_kept_with_the_run_alone(http: httpx2.AsyncClient, pool: Pool) -> None:
    await create(http, name="t", overlap="allow", target={"body": {"a": 1}})
    for sent, kept in (
        ({}, None),
        ({"body": None}, '{"body":"null"}'),
        ({"body": [1, 2]}, '{"body":"[1,2]"}'),
        ({"headers": {"X-Why": "test"}}, '{"headers":{"X-Why":"test"}}'),
    ):
        run = (await http.post("/jobs/t/trigger", json=sent)).json()
        row = await pool.fetchval("SELECT overrides FROM runs WHERE id = $1", UUID(run["id"]))
        assert row == kept
    assert (await http.get("/jobs/t")).json()["target"]["body"] == {"a": 1}


async def test_bad_overrides_are_refused_with_their_pointers(http: httpx2.AsyncClient) -> None:
    await create(http, name="t", target={"headers": {"a": "x" * 9000}})
    for sent, pointer in (
        ({"headers": {"Host": "x"}}, "/headers/Host"),
        ({"headers": {"b": "x" * 9000}}, "/headers"),
        ({"body": "x" * 262_144}, "/body"),
        ({"boddy": 1}, "/boddy"),
        ({"overlap": "maybe"}, "/overlap"),
    ):
        answer = await http.post("/jobs/t/trigger", json=sent)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert await statuses(http, "t") == {}


async def test_a_header_that_replaces_one_of_the_job_does_not_count_twice(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="t", target={"headers": {"a": "x" * 9000}})
    answer = await http.post("/jobs/t/trigger", json={"headers": {"A": "y" * 9000}})
    assert answer.status_code == 202


async def test_under_skip_an_unfinished_run_refuses_a_trigger_unless_it_says_allow(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="t", overlap="skip")
    first = (await http.post("/jobs/t/trigger")).json()
    answer = await http.post("/jobs/t/trigger")
    assert (answer.status_code, answer.json()["code"]) == (409, "overlap")
    assert first["id"] in answer.json()["detail"]
    answer = await http.post("/jobs/t/trigger", json={"overlap": "allow"})
    assert answer.status_code == 202
    assert len(await statuses(http, "t")) == 2


async def test_under_queue_a_trigger_waits_until_the_run_before_it_has_ended(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await create(http, name="t", overlap="queue")
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    running = str(decision.runs[0].id)
    waiting = (await http.post("/jobs/t/trigger")).json()["id"]
    queued = "SELECT queued FROM runs WHERE id = $1"
    assert await pool.fetchval(queued, UUID(waiting)) is True
    assert (await http.post("/jobs/t/trigger")).status_code == 409
    await settle(pool, running, made["id"], now_ms=clock.ms)
    assert await pool.fetchval(queued, UUID(waiting)) is False


async def test_under_cancel_a_trigger_takes_the_place_of_what_is_unfinished(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await create(http, name="t", overlap="cancel")
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    waiting = (await http.post("/jobs/t/trigger", json={"overlap": "allow"})).json()["id"]
    newest = (await http.post("/jobs/t/trigger")).json()["id"]
    assert (await statuses(http, "t"))[waiting] == "cancelled"
    assert (await statuses(http, "t"))[newest] == "due"
    row = await pool.fetchrow(
        "SELECT status, cancel_requested FROM runs WHERE id = $1", decision.runs[0].id
    )
    assert row is not None
    assert tuple(row) == ("running", True)


async def test_a_run_claimed_ahead_and_not_sent_refuses_no_trigger_and_is_decided_at_its_instant(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await create(http, name="t", overlap="skip", schedule={"every": "1h", "max_runs": 9})
    replica = uuid4()
    clock.ms = MORNING_MS + HOUR_MS
    (sent,) = await claim(pool, now_ms=clock.ms)
    await settle(pool, str(sent.runs[0].id), made["id"], now_ms=clock.ms)
    made = (await http.get("/jobs/t")).json()
    clock.ms = MORNING_MS + 2 * HOUR_MS - 500
    (held,) = await claim(pool, now_ms=clock.ms, replica=replica)
    clock.ms = MORNING_MS + 2 * HOUR_MS - 10
    answer = await http.post("/jobs/t/trigger")
    assert answer.status_code == 202
    await forget(pool, held.runs[0].id, replica)
    assert (await http.get("/jobs/t")).json()["next_fire_at"] == made["next_fire_at"]
    clock.ms = MORNING_MS + 2 * HOUR_MS
    (again,) = await claim(pool, now_ms=clock.ms)
    assert [(run.id, run.status, run.reason) for run in again.runs] == [
        (held.runs[0].id, "skipped", "overlap")
    ]
    assert await pool.fetchval("SELECT runs_made FROM job_timers") == 1
