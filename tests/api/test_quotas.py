"""Quotas of a namespace over HTTP: what they refuse, where, with which fix, and what they leave."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from msgspec import structs

from factories import MORNING_MS, Clock, Json, body, create
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store.pool import Pool


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def quotas(http: httpx2.AsyncClient, name: str = "default", **given: Any) -> None:
    answer = await http.put(f"/namespaces/{name}", json={"quotas": given})
    assert answer.status_code in {200, 201}, answer.text


def told(answer: httpx2.Response, status: int) -> set[str]:
    """The pointers of a refusal by quota alone."""
    said = answer.json()
    assert (answer.status_code, said["code"]) == (status, "quota_exceeded"), answer.text
    assert {error["code"] for error in said["errors"]} == {"quota_exceeded"}
    return {error["pointer"] for error in said["errors"]}


def key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


async def number(http: httpx2.AsyncClient) -> int:
    return len((await http.get("/jobs?limit=500")).json()["items"])


async def test_what_is_no_quota_is_refused_with_its_place(http: httpx2.AsyncClient) -> None:
    given = {"jobs_max": -1, "min_interval": "soon", "body_max": "1", "weight": 3}
    answer = await http.put("/namespaces/default", json={"quotas": given})
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {f"/quotas/{name}" for name in given}
    long = await http.put("/namespaces/default", json={"quotas": {"min_interval": "999999d"}})
    assert long.json()["errors"][0]["pointer"] == "/quotas/min_interval"


async def test_a_job_more_than_the_quota_is_refused_by_every_verb_and_deleting_one_makes_room(
    http: httpx2.AsyncClient,
) -> None:
    await quotas(http, jobs_max=2)
    first = await create(http, name="first")
    await create(http, name="second", schedule={"at": "2026-01-05T09:00:00Z"})
    await http.post("/jobs/second/pause")
    for method, path in (
        ("POST", "/jobs"),
        ("POST", "/jobs?dry_run=true"),
        ("PUT", "/jobs/third"),
        ("PUT", "/jobs/third?dry_run=true"),
    ):
        answer = await http.request(method, path, json=body())
        assert told(answer, 429) == {""}
        assert "Retry-After" not in answer.headers
        assert "2 (jobs_max)" in answer.json()["detail"]
    assert (await http.put("/jobs/first", json=body(description="x"))).status_code == 200
    assert (await http.post("/jobs", json=body(name="first"))).json()["code"] == "name_taken"
    await http.delete(f"/jobs/{first['id']}")
    await create(http)
    assert await number(http) == 2


async def test_a_bulk_create_beyond_the_quota_makes_nothing_or_as_many_as_there_is_room_for(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="taken")
    await quotas(http, jobs_max=3)
    items = [body(), body(name="taken"), body(), body(), body()]
    answer = await http.post("/jobs/bulk", json={"jobs": [items[0], *items[2:]]})
    assert told(answer, 429) == {"/jobs/2", "/jobs/3"}
    assert await number(http) == 1
    partial = await http.post("/jobs/bulk?partial=true", json={"jobs": items})
    made = partial.json()
    assert (partial.status_code, made["created"]) == (200, 2)
    errors = [one["error"] and one["error"]["code"] for one in made["items"]]
    assert errors == [None, "name_taken", None, "quota_exceeded", "quota_exceeded"]
    assert await number(http) == 3


async def test_creates_at_once_never_overshoot_and_replicas_do_not_matter(
    deps: Deps, http: httpx2.AsyncClient, pool: Pool
) -> None:
    await quotas(http, jobs_max=20)
    other = httpx2.ASGITransport(build_app(structs.replace(deps)))
    async with httpx2.AsyncClient(transport=other, base_url="http://127.0.0.1") as replica:
        asked = [
            *(one.post("/jobs", json=body()) for one in (http, replica) for _ in range(10)),
            *(one.put(f"/jobs/put-{n}", json=body()) for n in range(5) for one in (http, replica)),
            *(
                one.post("/jobs/bulk?partial=true", json={"jobs": [body()] * 4})
                for one in (http, replica)
            ),
        ]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} <= {200, 201, 429}
    assert 429 in {answer.status_code for answer in answers}
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 20


async def test_who_has_no_quota_waits_for_no_lock(http: httpx2.AsyncClient, pool: Pool) -> None:
    await quotas(http, "other", jobs_max=1)
    elsewhere = {"Scheduler-Namespace": "other"}
    async with pool.acquire() as conn, conn.transaction():
        # As a create does whose transaction goes on.
        await conn.execute(
            "SELECT pg_advisory_xact_lock(('x' || substr(encode(sha256($1), 'hex'), 1, 16))"
            "::bit(64)::bigint)",
            b"creates\0other",
        )
        await create(http)
        waiting = asyncio.ensure_future(http.post("/jobs", json=body(), headers=elsewhere))
        ungranted = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await conn.fetchval(ungranted):  # noqa: ASYNC110 - another session waits
            await asyncio.sleep(0.001)
        assert not waiting.done()
    assert (await waiting).status_code == 201


@pytest.mark.parametrize(
    ("schedule", "place"),
    [
        ({"every": "59s"}, "every"),
        ({"cron": "*/30 * * * * *"}, "cron"),
        ({"cron": ["*/2 * * * *", "30 0 9 1 6 *"]}, "cron"),
        ({"at": ["2026-02-01T00:00:00Z", "2026-02-03T00:00:00Z", "2026-02-01T00:00:59Z"]}, "at"),
    ],
)
async def test_a_schedule_that_fires_too_often_is_refused_where_it_says_so(
    http: httpx2.AsyncClient, schedule: Json, place: str
) -> None:
    await quotas(http, min_interval="60s")
    await create(http, name="slow", schedule={"every": "1m"})
    for method, path in (("POST", "/jobs"), ("PUT", "/jobs/slow"), ("PATCH", "/jobs/slow")):
        sent = body(schedule=schedule if method != "PATCH" else {"every": None, **schedule})
        answer = await http.request(method, path, json=sent)
        assert told(answer, 422) == {f"/schedule/{place}"}
        assert "1m (min_interval)" in answer.json()["errors"][0]["detail"]
    bulk = await http.post("/jobs/bulk", json={"jobs": [body(), body(schedule=schedule)]})
    assert told(bulk, 422) == {f"/jobs/1/schedule/{place}"}


async def test_a_change_of_clocks_that_pushes_occurrences_together_is_nobodys_fault(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await quotas(http, min_interval="1h")
    # Once a year what is due at 02:30 is sent at 03:00, half an hour after the one before.
    schedule = {"cron": "30 1,2 * * *", "timezone": "Europe/Berlin"}
    await create(http, schedule=schedule)


async def test_a_quota_that_came_later_does_not_hold_a_job_that_is_there(
    http: httpx2.AsyncClient,
) -> None:
    target = {"body": "x" * 100}
    await create(http, name="old", schedule={"every": "5s"}, target=target)
    await quotas(http, min_interval="1m", body_max=50)
    unchanged = body(schedule={"every": "5s"}, target=target, description="new words")
    assert (await http.put("/jobs/old", json=unchanged)).status_code == 200
    assert (await http.patch("/jobs/old", json={"priority": 3})).status_code == 200
    faster = await http.patch("/jobs/old", json={"schedule": {"every": "6s"}})
    assert told(faster, 422) == {"/schedule/every"}
    larger = await http.patch("/jobs/old", json={"target": {"body": "x" * 101}})
    assert told(larger, 422) == {"/target/body"}


async def test_a_body_longer_than_the_quota_is_refused_in_jobs_and_triggers(
    http: httpx2.AsyncClient,
) -> None:
    await quotas(http, body_max=12)
    await create(http, name="short", target={"body": "x" * 10})
    for target, place in (({"body": "x" * 11}, "body"), ({"body_base64": "A" * 20}, "body_base64")):
        answer = await http.post("/jobs", json=body(target=target))
        assert told(answer, 422) == {f"/target/{place}"}
    both = body(target={"body": "x" * 11}, schedule={"every": "0s"})
    mixed = await http.post("/jobs", json=both)
    assert (mixed.status_code, mixed.json()["code"]) == (422, "invalid")
    answer = await http.post("/jobs/short/trigger", json={"body": "x" * 11})
    assert told(answer, 422) == {"/body"}


async def test_where_no_bodies_may_be_sent_a_job_without_one_is_good(
    http: httpx2.AsyncClient,
) -> None:
    await quotas(http, body_max=0)
    await create(http, name="bare")
    explicit = await http.put("/jobs/bare", json=body(target={"body": None}))
    assert explicit.status_code == 200, explicit.text
    many = await http.post("/jobs/bulk", json={"jobs": [body(name="b"), body(name="c")]})
    assert many.status_code == 201, many.text
    for asked in ({}, {"body": None}):
        sent = {**asked, "overlap": "allow"}
        assert (await http.post("/jobs/bare/trigger", json=sent)).status_code == 202
    refused = await http.put("/jobs/bare", json=body(target={"body": 1}))
    assert told(refused, 422) == {"/target/body"}


async def test_a_backfill_or_replay_of_more_runs_than_the_quota_is_refused(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS
    await create(http, name="hourly", schedule={"cron": "0 * * * *"})
    await quotas(http, backfill_max=5)
    span = {"from": "2026-01-05T00:00:00Z", "to": "2026-01-05T06:00:00Z"}
    answer = await http.post("/jobs/hourly/backfill", json=span)
    assert told(answer, 422) == {"/from"}
    assert "holds 6 runs" in answer.json()["errors"][0]["detail"]
    good = {**span, "to": "2026-01-05T05:00:00Z"}
    assert (await http.post("/jobs/hourly/backfill", json=good)).status_code == 202
    await quotas(http, backfill_max=0)
    for _ in range(2):
        run = await http.post("/jobs/hourly/trigger", json={"overlap": "allow"})
        await http.post(f"/runs/{run.json()['id']}/cancel")
    replay = await http.post(
        "/runs/replay", json={"filter": {"status": "cancelled"}, "expect_count": 2}
    )
    assert told(replay, 422) == {"/filter"}


async def test_usage_is_shown_beside_the_quota_in_force(http: httpx2.AsyncClient) -> None:
    await quotas(http, jobs_max=3)
    await create(http)
    shown = (await http.get("/namespaces/default")).json()
    assert shown["quotas"]["jobs_max"] == 3
    assert shown["usage"] == {
        "jobs": 1,
        "jobs_max": 3,
        "runs_this_minute": 0,
        "runs_per_minute": None,
    }
    listed = (await http.get("/namespaces")).json()["items"]
    assert listed[0]["usage"] is None


async def test_triggers_and_replays_beyond_the_runs_of_a_minute_are_told_when_to_come_again(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS + 15_500
    await create(http, name="job", overlap="allow")
    await create(http, name="skips", overlap="skip")
    await quotas(http, runs_per_minute=3)
    run = (await http.post("/jobs/job/trigger")).json()
    await http.post(f"/runs/{run['id']}/cancel")
    assert (await http.post("/jobs/skips/trigger")).status_code == 202
    # What is refused for another reason uses nothing up.
    assert (await http.post("/jobs/skips/trigger")).json()["code"] == "overlap"
    assert (await http.post(f"/runs/{run['id']}/replay")).status_code == 202
    for path in ("/jobs/job/trigger", f"/runs/{run['id']}/replay"):
        answer = await http.post(path)
        assert told(answer, 429) == {""}
        assert answer.headers["Retry-After"] == "45"
        assert "in 45 s" in answer.json()["detail"]
    usage = (await http.get("/namespaces/default")).json()["usage"]
    assert (usage["runs_this_minute"], usage["runs_per_minute"]) == (3, 3)
    clock.ms = MORNING_MS + 60_000
    assert (await http.post("/jobs/job/trigger")).status_code == 202


async def test_a_refusal_by_quota_uses_no_idempotency_key_up(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="job", overlap="allow")
    await quotas(http, jobs_max=1, runs_per_minute=1)
    asked: list[tuple[str, Json | None]] = [
        ("/jobs", body(name="more")),
        ("/jobs/bulk", {"jobs": [body(name="many")]}),
    ]
    for path, sent in asked:
        assert (await http.post(path, json=sent, headers=key(path))).status_code == 429
    assert (await http.post("/jobs/job/trigger")).status_code == 202
    again = await http.post("/jobs/job/trigger", headers=key("/jobs/job/trigger"))
    assert again.status_code == 429
    await quotas(http, runs_per_minute=1)
    clock.ms = MORNING_MS + 60_000
    for path, sent in (*asked, ("/jobs/job/trigger", None)):
        answer = await http.post(path, json=sent, headers=key(path))
        assert answer.is_success, answer.text
        assert "idempotency-replayed" not in answer.headers


async def test_a_bulk_trigger_fits_into_the_minute_as_a_whole_or_does_nothing(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    for _ in range(3):
        await create(http)
    asked = {"action": "trigger", "filter": {}, "expect_count": 3}
    await quotas(http, runs_per_minute=2)
    assert told(await http.post("/jobs/bulk-actions", json=asked), 422) == {"/filter"}
    await quotas(http, runs_per_minute=4)
    assert (await http.post("/jobs/bulk-actions", json=asked)).json()["done"] == 3
    await create(http)
    again = await http.post("/jobs/bulk-actions", json={**asked, "expect_count": 4})
    assert told(again, 429) == {"/filter"}
    assert await pool.fetchval("SELECT count(*) FROM runs") == 3


async def test_triggers_at_once_never_exceed_the_runs_of_a_minute(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="job", overlap="allow")
    await quotas(http, runs_per_minute=5)
    answers = await asyncio.gather(*(http.post("/jobs/job/trigger") for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [202] * 5 + [429] * 7
    assert await pool.fetchval("SELECT count(*) FROM runs") == 5


@pytest.fixture
async def limited(deps: Deps) -> AsyncIterator[httpx2.AsyncClient]:
    """The service of an operator who limits every namespace."""
    made = structs.replace(deps, quotas=Quotas(jobs_max=1, min_interval="1m"))
    transport = httpx2.ASGITransport(build_app(made))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


async def test_defaults_hold_for_namespaces_that_say_nothing_and_each_may_be_overruled(
    limited: httpx2.AsyncClient,
) -> None:
    await create(limited)
    assert told(await limited.post("/jobs", json=body()), 429) == {""}
    fast = body(schedule={"every": "1s"})
    assert told(await limited.post("/jobs", json=fast), 422) == {"/schedule/every"}
    await quotas(limited, jobs_max=5)
    assert told(await limited.post("/jobs", json=fast), 422) == {"/schedule/every"}
    await quotas(limited, jobs_max=5, min_interval="0s")
    assert (await limited.post("/jobs", json=fast)).status_code == 201
    assert (await limited.get("/namespaces/default")).json()["usage"]["jobs_max"] == 5
