"""Idempotency-Key: the same request again is answered as it was the first time, and done once."""

import asyncio
from typing import Any

import asyncpg
import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, body, create, settle
from scheduler_svc.store.pool import Pool

DAY_MS = 24 * 3_600_000
KEYED = {"Idempotency-Key": "once"}
RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def count(pool: Pool, table: str) -> int:
    found: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return found


async def an_ended_run(http: httpx2.AsyncClient, pool: Pool) -> str:
    job = await create(http, name="j", overlap="allow")
    run: Json = (await http.post("/jobs/j/trigger")).json()
    await pool.execute(
        "UPDATE runs SET status = 'running', replica = gen_random_uuid(), attempt_count = 1"
    )
    await settle(pool, run["id"], job["id"], now_ms=MORNING_MS)
    found: str = run["id"]
    return found


@pytest.mark.parametrize("what", ["job", "trigger", "backfill", "replay"])
async def test_the_same_request_again_is_made_once_and_answered_as_the_first_time(
    http: httpx2.AsyncClient, pool: Pool, what: str
) -> None:
    run = await an_ended_run(http, pool)
    path, sent, table = {
        "job": ("/jobs", body(), "jobs"),
        "trigger": ("/jobs/j/trigger", None, "runs"),
        "backfill": ("/jobs/j/backfill", RANGE, "backfills"),
        "replay": (f"/runs/{run}/replay", None, "runs"),
    }[what]
    before = await count(pool, table)
    first = await http.post(path, json=sent, headers=KEYED)
    again = await http.post(path, json=sent, headers=KEYED)
    assert first.status_code in {201, 202}
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("location", "etag", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert await count(pool, table) == before + 1


async def test_a_job_that_the_schedule_has_left_behind_is_still_replayed(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    sent = body(schedule={"at": "2026-01-05T08:01:00Z"})
    first = await http.post("/jobs", json=sent, headers=KEYED)
    clock.ms = MORNING_MS + 3_600_000
    again = await http.post("/jobs", json=sent, headers=KEYED)
    assert (again.status_code, again.content) == (201, first.content)
    assert (await http.post("/jobs", json=sent)).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/jobs", body(priority=1)),
        ("POST", "/jobs/j/trigger", None),
        ("POST", "/jobs?dry_run=false", body()),
    ],
)
async def test_the_same_key_with_another_request_is_refused_and_changes_nothing(
    http: httpx2.AsyncClient, pool: Pool, method: str, path: str, sent: Any
) -> None:
    await create(http, name="j")
    await http.post("/jobs", json=body(), headers=KEYED)
    answer = await http.request(method, path, json=sent, headers=KEYED)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert (await count(pool, "jobs"), await count(pool, "runs")) == (2, 0)


async def test_a_refused_request_and_a_dry_run_use_no_key_up(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="taken")
    for sent, status in ((body(priority=1000), 422), (body(name="taken"), 409)):
        assert (await http.post("/jobs", json=sent, headers=KEYED)).status_code == status
    dry = await http.post("/jobs?dry_run=true", json=body(), headers=KEYED)
    assert dry.status_code == 200
    made = await http.post("/jobs", json=body(name="mine"), headers=KEYED)
    assert made.status_code == 201
    assert await count(pool, "idempotency_keys") == 1


async def test_a_request_that_failed_uses_no_key_up(http: httpx2.AsyncClient, pool: Pool) -> None:
    await pool.execute("ALTER TABLE job_expectations RENAME TO elsewhere")
    try:
        failed = await http.post("/jobs", json=body(), headers=KEYED)
    finally:
        await pool.execute("ALTER TABLE elsewhere RENAME TO job_expectations")
    assert failed.status_code == 500
    assert (await http.post("/jobs", json=body(), headers=KEYED)).status_code == 201
    assert await count(pool, "jobs") == 1


async def test_while_the_first_is_in_progress_the_second_is_told_so_at_once(
    http: httpx2.AsyncClient, dsn: str, pool: Pool
) -> None:
    holder = await asyncpg.connect(dsn, timeout=10)
    work = holder.transaction()
    await work.start()
    await holder.execute("LOCK TABLE job_expectations")
    first = asyncio.ensure_future(http.post("/jobs", json=body(name="slow"), headers=KEYED))
    await waits_for_a_lock(pool)
    others = await asyncio.gather(
        *(http.post("/jobs", json=body(name="slow"), headers=KEYED) for _ in range(5))
    )
    for told in others:
        assert (told.status_code, told.json()["code"]) == (409, "idempotency_in_progress")
        assert int(told.headers["retry-after"]) >= 1
    await work.rollback()
    await holder.close()
    assert (await first).status_code == 201
    again = await http.post("/jobs", json=body(name="slow"), headers=KEYED)
    assert (again.status_code, again.content) == (201, (await first).content)


async def waits_for_a_lock(pool: Pool) -> None:
    """Wait until some session of this database waits for a lock."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10):
        # Another session's state: there is no event to wait for.
        while not await pool.fetchval(asked):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_ten_at_once_make_one_job(http: httpx2.AsyncClient, pool: Pool) -> None:
    answers = await asyncio.gather(
        *(http.post("/jobs", json=body(), headers=KEYED) for _ in range(10))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert len(made) == await count(pool, "jobs") == 1


async def test_an_answer_is_replayed_for_a_day_and_then_the_key_is_new(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    first = await http.post("/jobs", json=body(), headers=KEYED)
    clock.ms = MORNING_MS + DAY_MS - 1
    assert (await http.post("/jobs", json=body(), headers=KEYED)).content == first.content
    clock.ms = MORNING_MS + DAY_MS
    again = await http.post("/jobs", json=body(priority=1), headers=KEYED)
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    assert "idempotency-replayed" not in again.headers
    assert await count(pool, "idempotency_keys") == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "\x7f"])
async def test_what_is_no_key_is_refused_by_the_name_of_its_header(
    http: httpx2.AsyncClient, key: str
) -> None:
    answer = await http.post("/jobs", json=body(), headers=[(b"idempotency-key", key.encode())])
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == "Idempotency-Key"


async def test_two_keys_in_one_request_are_refused(http: httpx2.AsyncClient) -> None:
    headers = [(b"idempotency-key", b"a"), (b"idempotency-key", b"b")]
    assert (await http.post("/jobs", json=body(), headers=headers)).status_code == 422


@pytest.mark.parametrize("key", ["x" * 255, '"in quotes, with spaces"', "a/b?c=d&e"])
async def test_any_printable_word_is_a_key(http: httpx2.AsyncClient, key: str) -> None:
    answer = await http.post("/jobs", json=body(), headers={"Idempotency-Key": key})
    assert answer.status_code == 201


async def test_a_key_on_an_operation_that_creates_nothing_has_no_effect(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="j")
    for _ in range(2):
        answer = await http.post("/jobs/j/pause", headers=KEYED)
        assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    assert await count(pool, "idempotency_keys") == 0
