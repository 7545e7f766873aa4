"""Concurrency keys over HTTP: limits, how a key stands, and what its runs say they wait for."""

import asyncio
import json
from typing import Any
from uuid import UUID

import httpx2
import pytest

from factories import MORNING_MS, Clock, create, waiting_run
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.pressure import Key
from scheduler_svc.store.breakers import open_breaker
from scheduler_svc.store.notices import CHANNEL
from scheduler_svc.store.pool import Pool, transaction

Json = dict[str, Any]
CLOSED = {"state": "closed", "failures": 0, "opened_at": None, "retry_at": None}
LIMITS = {"max_parallel": 4, "max_per_second": 10.0}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def _waits(pool: Pool, job: Json, key: str, **deferral: Any) -> UUID:
    """Have a run of a job wait because of its key."""
    run = await waiting_run(pool, UUID(job["id"]), at_ms=MORNING_MS)
    note = {"reason": "breaker", "key": key, "count": 1, "since": "2026-01-05T08:00:00Z"}
    await pool.execute(
        "UPDATE runs SET concurrency_key = $2, deferral = $3 WHERE id = $1",
        run,
        key,
        json.dumps(note | deferral),
    )
    return run


async def test_limits_are_made_replaced_read_and_taken_away(http: httpx2.AsyncClient) -> None:
    made = await http.put("/concurrency-keys/api.example.com", json=LIMITS)
    assert made.status_code == 201
    assert made.json() == {
        "key": "api.example.com",
        "configured": True,
        **LIMITS,
        "running": 0,
        "waiting": 0,
        "breaker": CLOSED,
    }
    again = await http.put("/concurrency-keys/api.example.com", json={"max_parallel": 1})
    assert (again.status_code, again.json()["max_per_second"]) == (200, None)
    read = await http.get("/concurrency-keys/api.example.com")
    assert read.json() == again.json()
    assert (await http.delete("/concurrency-keys/api.example.com")).status_code == 204
    for verb in ("GET", "DELETE"):
        answer = await http.request(verb, "/concurrency-keys/api.example.com")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("key", ["a/b", "tenant:7", "ü", "50%", "a b?c#d", "k" * 255])
async def test_a_key_is_any_text_that_can_be_shown(http: httpx2.AsyncClient, key: str) -> None:
    path = "/concurrency-keys/" + "".join(f"%{byte:02X}" for byte in key.encode())
    assert (await http.put(path, json=LIMITS)).status_code == 201
    assert (await http.get(path)).json()["key"] == key
    assert [one["key"] for one in (await http.get("/concurrency-keys")).json()["items"]] == [key]


@pytest.mark.parametrize("key", ["k" * 256, "a%09b"])
async def test_what_can_be_no_key_is_refused_by_put_and_not_found_by_get(
    http: httpx2.AsyncClient, key: str
) -> None:
    refused = await http.put(f"/concurrency-keys/{key}", json=LIMITS)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "key"
    assert (await http.get(f"/concurrency-keys/{key}")).status_code == 404


@pytest.mark.parametrize("verb", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("key", ["%00", "a%0Ab"])
async def test_a_path_that_can_hold_no_key_is_not_found(
    http: httpx2.AsyncClient, verb: str, key: str
) -> None:
    body = LIMITS if verb == "PUT" else None
    answer = await http.request(verb, f"/concurrency-keys/{key}", json=body)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"max_parallel": 0}, "/max_parallel"),
        ({"max_parallel": 1.5}, "/max_parallel"),
        ({"max_per_second": 0}, "/max_per_second"),
        ({"max_per_second": 1.5}, "/max_per_second"),
        ({"max_per_second": "3"}, "/max_per_second"),
        ({"max_paralel": 1}, "/max_paralel"),
        ({"waiting": 1}, "/waiting"),
    ],
)
async def test_limits_that_are_none_are_refused(
    http: httpx2.AsyncClient, body: Json, pointer: str
) -> None:
    answer = await http.put("/concurrency-keys/k", json=body)
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


async def test_the_list_goes_by_name_and_has_keys_that_only_have_runs_waiting(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = await create(http, name="t")
    for key in ("c", "a"):
        await http.put(f"/concurrency-keys/{key}", json=LIMITS)
    await _waits(pool, job, "b")
    async with transaction(pool) as conn:
        await open_breaker(
            conn, Key("default", "d"), failures=9, now_ms=MORNING_MS, retry_ms=MORNING_MS + 500
        )
    first = (await http.get("/concurrency-keys?limit=3")).json()
    rest = (await http.get(f"/concurrency-keys?limit=3&cursor={first['next_cursor']}")).json()
    items = [*first["items"], *rest["items"]]
    assert [one["key"] for one in items] == ["a", "b", "c", "d"]
    assert [one["waiting"] for one in items] == [0, 1, 0, 0]
    assert [one["configured"] for one in items] == [True, False, True, False]
    assert items[3]["breaker"] == {
        "state": "open",
        "failures": 9,
        "opened_at": "2026-01-05T08:00:00Z",
        "retry_at": "2026-01-05T08:00:00.500Z",
    }
    assert rest["next_cursor"] is None


async def test_taking_limits_away_leaves_an_open_breaker_open(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await http.put("/concurrency-keys/k", json=LIMITS)
    async with transaction(pool) as conn:
        await open_breaker(
            conn, Key("default", "k"), failures=9, now_ms=MORNING_MS, retry_ms=MORNING_MS + 500
        )
    assert (await http.delete("/concurrency-keys/k")).status_code == 204
    shown = (await http.get("/concurrency-keys/k")).json()
    assert (shown["configured"], shown["breaker"]["state"]) == (False, "open")


async def test_a_change_of_limits_is_told_to_the_replicas(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(*told: object) -> None:
        heard.put_nowait(str(told[3]))

    async with pool.acquire() as conn:
        await conn.add_listener(CHANNEL, hear)
        await http.put("/concurrency-keys/k", json=LIMITS)
        await http.delete("/concurrency-keys/k")
        assert [await heard.get() for _ in range(2)] == ["keys -", "keys -"]
        await conn.remove_listener(CHANNEL, hear)


async def test_a_run_shows_why_it_waits_and_why_it_waited(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = await create(http, name="t")
    run = await _waits(pool, job, "k")
    shown = (await http.get(f"/runs/{run}")).json()
    assert shown["deferral"] == {
        "reason": "breaker",
        "key": "k",
        "count": 1,
        "since": "2026-01-05T08:00:00Z",
        "until": None,
    }
    (listed,) = (await http.get("/runs")).json()["items"]
    assert listed["deferral"] == shown["deferral"]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("breaker", "calls to the key 'k' failed, and its breaker was open"),
        ("concurrency", "all the calls at once that its limit allows"),
        ("rate", "all the calls a second that its limit allows"),
        ("host_share", "its share of a replica's slots"),
    ],
)
async def test_explain_says_in_a_sentence_what_a_run_waits_or_waited_for(
    http: httpx2.AsyncClient, pool: Pool, reason: str, words: str
) -> None:
    job = await create(http, name="t")
    run = await _waits(pool, job, "k", reason=reason)
    told = (await http.get("/jobs/t/explain?at=2026-01-05T08:00:00Z")).json()
    assert (told["verdict"], told["reason"]) == ("fires", "deferred")
    assert "It waits since 2026-01-05T08:00:00Z" in told["detail"]
    assert words in told["detail"]
    await pool.execute(
        """
        UPDATE runs SET status = 'failed', reason = 'next_occurrence', finished_at = $2,
            next_attempt_at = NULL,
            deferral = deferral || '{"until": "2026-01-05T08:05:00Z", "count": 2}'
        WHERE id = $1
        """,
        run,
        instant_at(MORNING_MS),
    )
    told = (await http.get("/jobs/t/explain?at=2026-01-05T08:00:00Z")).json()
    assert (told["verdict"], told["reason"]) == ("skipped", "next_occurrence")
    between = "It was deferred 2 times, from 2026-01-05T08:00:00Z to 2026-01-05T08:05:00Z"
    assert between in told["detail"]
    assert words in told["detail"]


async def test_an_edit_of_the_target_lets_a_waiting_run_go_by_the_new_key(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = await create(http, name="t", target={"concurrency_key": "old"})
    run = await _waits(pool, job, "old")
    same = await http.patch("/jobs/t", json={"priority": 3})
    assert same.status_code == 200
    key = "SELECT concurrency_key FROM runs WHERE id = $1"
    assert await pool.fetchval(key, run) == "old"
    await http.patch("/jobs/t", json={"target": {"concurrency_key": "new"}})
    assert await pool.fetchval(key, run) is None


async def test_a_job_keeps_its_key(http: httpx2.AsyncClient) -> None:
    made = await create(http, target={"concurrency_key": "tenant/7"})
    assert made["target"]["concurrency_key"] == "tenant/7"


async def test_an_edit_of_the_target_locks_the_job_before_the_runs_that_wait(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    job = UUID((await create(http, name="a"))["id"])
    run = await waiting_run(pool, job, at_ms=MORNING_MS)
    await pool.execute("UPDATE runs SET concurrency_key = 'k'")
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    async with transaction(pool) as other:
        await other.execute("SELECT FROM jobs WHERE id = $1 FOR UPDATE", job)
        edit = asyncio.create_task(
            http.patch("/jobs/a", json={"target": {"concurrency_key": "other"}})
        )
        while not await pool.fetchval(blocked):  # noqa: ASYNC110 - the database tells
            await asyncio.sleep(0.01)
        await other.execute("SELECT FROM runs WHERE id = $1 FOR UPDATE NOWAIT", run)
    assert (await edit).status_code == 200
    assert await pool.fetchval("SELECT concurrency_key FROM runs") is None
