"""POST /jobs/apply: jobs become what a file says, all or nothing; what is so stays untouched."""

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest

from auditing import pending
from factories import MORNING_MS, URL, Clock, Json, body, claim, create, forget
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.quotas import Quotas
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
SAME: list[Json] = [
    body(name="a", labels={"team": "x"}),
    body(name="b", schedule={"cron": "0 9 * * MON", "timezone": "Europe/Berlin"}, priority=3),
    body(name="c", schedule={"cron": "H H * * *", "spread": "10m"}, description="drawn"),
    body(name="d", schedule={"every": "90m"}, retry={"max_delay": "90m", "on": [500]}),
    body(name="e", schedule={"at": "2026-01-05T08:00:01Z"}, misfire={"grace": "60s"}),
    body(name="f", schedule={"at": "2026-01-05T07:00:00Z", "if_past": "run"}),
    body(name="g", target={"headers": {"Authorization": "Bearer x", "X-A": "b"}}),
    body(name="h", target={"body": {"deep": [1, 1.5, {"é": None}]}}, retention=None),
    body(name="i", target={"auth": {"type": "basic", "username": "u", "password": "p"}}),
    body(name="j", alerts={"url": URL, "never_ran": True, "late_after": "90m"}),
]


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def ask(http: httpx2.AsyncClient, jobs: list[Json], **more: Any) -> httpx2.Response:
    return await http.post("/jobs/apply", json={"jobs": jobs, **more})


async def done(http: httpx2.AsyncClient, jobs: list[Json], **more: Any) -> Json:
    answer = await ask(http, jobs, **more)
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    return told


def counts(told: Json) -> tuple[int, int, int, int]:
    return told["created"], told["changed"], told["deleted"], told["unchanged"]


async def names(http: httpx2.AsyncClient) -> list[str]:
    listed = (await http.get("/jobs?sort=name&limit=500")).json()
    return [job["name"] for job in listed["items"]]


async def marks(pool: Pool) -> list[Any]:
    """Where each row lies and who wrote or locked it last: any write, a lock too, shows here."""
    found: list[Any] = []
    for table in ("jobs", "job_timers", "job_expectations", "runs", "job_incidents"):
        rows = await pool.fetch(
            f"SELECT tableoid, ctid, xmin::text, xmax::text FROM {table} ORDER BY 1, 2"
        )
        found += [tuple(row) for row in rows]
    return [*found, await pool.fetchval("SELECT count(*) FROM audit_pending")]


async def test_each_job_is_what_a_put_makes_of_it_and_the_same_again_is_unchanged(
    http: httpx2.AsyncClient,
) -> None:
    told = await done(http, SAME)
    assert counts(told) == (len(SAME), 0, 0, 0)
    for item, sent in zip(told["items"], SAME, strict=True):
        made = (await http.get(f"/jobs/{item['id']}?view=spec")).json()
        assert (made["name"], item["action"]) == (sent["name"], "create")
        put = await http.put(f"/jobs/{sent['name']}", json=sent)
        assert put.json()["changed"] is False, sent
    assert counts(await done(http, SAME)) == (0, 0, 0, len(SAME))


async def test_what_is_as_it_shall_be_is_neither_written_nor_locked(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await done(http, SAME, owner="me")
    before = await marks(pool)
    masked = [(await http.get(f"/jobs/{one['name']}?view=spec")).json() for one in SAME]
    for jobs in (SAME, masked):
        told = await done(http, jobs, owner="me", prune=True)
        assert counts(told) == (0, 0, 0, len(SAME))
        assert told["items"] == []
    assert await marks(pool) == before
    told = await done(http, [{**SAME[0], "priority": 1}, *SAME[1:]], owner="me")
    assert counts(told) == (0, 1, 0, len(SAME) - 1)
    assert await marks(pool) != before  # or this proves nothing


async def test_a_body_in_another_spelling_is_the_same_and_another_value_is_not(
    http: httpx2.AsyncClient,
) -> None:
    text = b'{"jobs": [{"name": "a", "schedule": {"every": "1h"}, "target": {"url": "%s", "body":'
    url = URL.encode()

    async def sent(spelled: bytes) -> tuple[int, int, int, int]:
        raw = text % url + spelled + b"}}]}"
        answer = await http.post(
            "/jobs/apply", content=raw, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        return counts(answer.json())

    assert await sent(b'{"n": [1.50, 1e3], "\\u00e9": "x"}') == (1, 0, 0, 0)
    assert await sent('{"é":"x","n":[1.5,1000.0]}'.encode()) == (0, 0, 0, 1)
    assert await sent('{"é":"x","n":[1.5,1000]}'.encode()) == (0, 1, 0, 0)
    assert await sent('{"é":"x","n":[1.5,true]}'.encode()) == (0, 1, 0, 0)
    assert await sent('{"é":"x","n":[1.5,1]}'.encode()) == (0, 1, 0, 0)
    assert await sent(b"[12345678901234567890123]") == (0, 1, 0, 0)
    assert await sent(b"[12345678901234567890124]") == (0, 1, 0, 0)


async def test_a_change_keeps_secrets_pauses_and_the_cadence_of_what_it_does_not_name(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await done(http, SAME)
    await http.post("/jobs/b/pause", json={"reason": "holidays"})
    first = {name: (await http.get(f"/jobs/{name}")).json() for name in "abcd"}
    clock.ms = MORNING_MS + 600_000
    headers = {"Authorization": "***", "X-A": "c"}
    jobs = [
        *({**one, "description": "new"} for one in SAME[:4]),
        body(name="g", target={"headers": headers}),
    ]
    assert counts(await done(http, jobs)) == (0, 5, 0, 0)
    for name, before in first.items():
        after = (await http.get(f"/jobs/{name}")).json()
        assert after["description"] == "new"
        assert (after["next_fire_at"], after["state"]) == (before["next_fire_at"], before["state"])
        assert after["revision"] == before["revision"] + 1
    kept = (await http.get("/jobs/g?view=spec")).json()["target"]["headers"]
    assert kept == {"Authorization": "***", "X-A": "c"}
    assert (await http.put("/jobs/g", json=SAME[6])).json()["changed"] is True  # X-A alone
    assert (await http.put("/jobs/g", json=SAME[6])).json()["changed"] is False  # the same secret


async def test_another_schedule_moves_the_timer_as_a_put_would(http: httpx2.AsyncClient) -> None:
    twins = [body(name=name, schedule={"cron": "0 9 * * *"}) for name in ("one", "two")]
    await done(http, twins)
    later = {**twins[0], "schedule": {"cron": "30 9 * * *"}}
    await done(http, [later])
    await http.put("/jobs/two", json={**later, "name": "two"})
    one, two = [(await http.get(f"/jobs/{name}")).json() for name in ("one", "two")]
    assert one["next_fire_at"] == two["next_fire_at"] == "2026-01-05T09:30:00Z"
    assert one["upcoming"] == two["upcoming"]


async def test_prune_removes_what_its_owner_names_no_longer_and_nobody_elses(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="by-hand")
    await create(http)  # without a name: no file can hold it
    await create(http, labels={"scheduler.owner": "me"})
    await done(http, [body(name=name) for name in ("a", "b", "c")], owner="me")
    await done(http, [body(name="theirs")], owner="them")
    told = await done(http, [body(name="b")], owner="me")
    assert counts(told) == (0, 0, 0, 1)
    told = await done(http, [body(name="b")], owner="me", prune=True)
    assert counts(told) == (0, 0, 2, 1)
    assert [(one["name"], one["index"]) for one in told["items"]] == [("a", None), ("c", None)]
    assert sorted(name or "" for name in await names(http)) == ["", "", "b", "by-hand", "theirs"]
    refused = await ask(http, [body(name="b")], prune=True)
    assert refused.json()["errors"][0]["pointer"] == "/owner"
    refused = await ask(http, [body(name="b")], owner="me\n")
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/owner"]
    assert counts(await done(http, [], owner="me", prune=True)) == (0, 0, 1, 0)
    assert sorted(name or "" for name in await names(http)) == ["", "", "by-hand", "theirs"]


async def test_a_job_of_another_owner_is_changed_only_where_that_is_said(
    http: httpx2.AsyncClient,
) -> None:
    await done(http, [body(name="a"), body(name="b")], owner="them")
    mine = [body(name="a", priority=1), body(name="new")]
    refused = await ask(http, mine, owner="me")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/jobs/0"]
    assert "them" in refused.json()["errors"][0]["detail"]
    assert (await ask(http, [body(name="a")])).status_code == 409  # nor does it lose its owner
    assert await names(http) == ["a", "b"]
    assert counts(await done(http, mine, owner="me", take_over=True)) == (1, 1, 0, 0)
    assert counts(await done(http, [], owner="them", prune=True)) == (0, 0, 1, 0)
    assert await names(http) == ["a", "new"]
    await create(http, name="by-hand")
    told = await done(http, [body(name="by-hand")], owner="me")
    assert counts(told) == (0, 1, 0, 0)  # what was nobody's is adopted


async def test_every_fault_of_every_job_is_told_and_nothing_is_done(
    http: httpx2.AsyncClient,
) -> None:
    await done(http, [body(name="there"), body(name="gone")], owner="me")
    jobs: list[Any] = [
        body(name="new"),
        body(),
        body(name="there", priority=1000, schedule={"cron": "61 * * * *"}),
        body(name="new"),
        body(name="Wrong Name"),
        body(name="far", labels={"scheduler.owner": "them"}),
        body(name="typed", labels="no"),
        "no job",
        body(name="masked", target={"headers": {"Cookie": "***"}}),
        body(name="inside", target={"url": "http://10.0.0.1/"}),
    ]
    answer = await ask(http, jobs, owner="me", prune=True)
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers >= {
        *("/jobs/1/name", "/jobs/2/priority", "/jobs/2/schedule/cron", "/jobs/3/name"),
        *("/jobs/4/name", "/jobs/5/labels/scheduler.owner", "/jobs/6/labels", "/jobs/7/name"),
        *("/jobs/8/target/headers/Cookie", "/jobs/9/target/url"),
    }
    assert await names(http) == ["gone", "there"]


async def test_a_plan_tells_what_changes_when_it_would_fire_and_saves_nothing(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    daily = body(name="daily", schedule={"cron": "0 9 * * *"}, target={"headers": {"Cookie": "a"}})
    await done(http, [daily, body(name="old")], owner="me")
    before = await marks(pool)
    headers = {"Cookie": "canary"}
    other = body(name="daily", schedule={"cron": "30 9,21 * * *"}, target={"headers": headers})
    sent = {"owner": "me", "prune": True, "dry_run": True}
    told = await done(http, [body(name="new", schedule={"cron": "0 0 * * *"}), other], **sent)
    assert await marks(pool) == before
    new, daily, old = told["items"]
    assert [new["action"], daily["action"], old["action"]] == ["create", "change", "delete"]
    assert new["fires"]["before"] == []
    assert new["fires"]["after"][0]["scheduled_for"] == "2026-01-06T00:00:00Z"
    assert daily["changes"] == [
        {"pointer": "/schedule/cron", "before": "0 9 * * *", "after": "30 9,21 * * *"},
        {"pointer": "/target/headers/Cookie", "before": "***", "after": "*** (changed)"},
    ]
    assert daily["fires"]["per_day"] == {"before": 1.0, "after": 2.0}
    assert daily["fires"]["after"][1]["local"] == "2026-01-05T21:30:00+00:00"
    assert (old["fires"]["after"], old["fires"]["per_day"]["before"]) == ([], 24.0)
    assert "canary" not in json.dumps(told)


async def test_a_plan_is_carried_out_only_where_nothing_has_changed_since(
    http: httpx2.AsyncClient,
) -> None:
    await done(http, [body(name="a"), body(name="gone")], owner="me")
    sent: Json = {"owner": "me", "prune": True}
    jobs = [body(name="a", priority=1), body(name="new")]
    meddling: list[tuple[str, str, Any]] = [
        ("PATCH", "/jobs/a", {"description": "by another"}),
        ("PATCH", "/jobs/gone", {"priority": 2}),
        ("PUT", "/jobs/new", body(description="by another")),
        ("PUT", "/jobs/more", body(labels={"scheduler.owner": "me"})),
        ("POST", "/jobs/a/pause", None),
    ]
    for method, path, change in meddling:
        plan = (await done(http, jobs, **sent, dry_run=True))["plan"]
        assert (await http.request(method, path, json=change)).status_code < 300
        refused = await ask(http, jobs, **sent, plan=plan)
        assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    plan = (await done(http, jobs, **sent, dry_run=True))["plan"]
    await create(http, name="apart")
    told = await done(http, jobs, **sent, plan=plan)
    assert counts(told) == (0, 2, 2, 0)
    assert await names(http) == ["a", "apart", "new"]


async def test_of_many_jobs_the_first_thousand_are_told_of_in_full(
    http: httpx2.AsyncClient,
) -> None:
    jobs = [body(name=f"j{number}", schedule={"cron": "0 9 * * *"}) for number in range(1002)]
    items = (await done(http, jobs, dry_run=True))["items"]
    assert [item["index"] for item in items] == list(range(1002))
    assert [item["index"] for item in items if item["fires"] is None] == [1000, 1001]


@pytest.mark.parametrize("planned", [False, True])
async def test_an_edit_in_the_same_moment_is_seen_and_spoils_a_plan(
    http: httpx2.AsyncClient, pool: Pool, *, planned: bool
) -> None:
    """The edit commits while the request, which has judged already, waits for the timer."""
    await done(http, [body(name="a"), body(name="b")])
    jobs = [body(name="a", priority=1), body(name="b", priority=1)]
    plan = (await done(http, jobs, dry_run=True))["plan"] if planned else None
    async with pool.acquire() as holder:
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(
            "SELECT FROM job_timers WHERE job_id = (SELECT id FROM jobs WHERE name = 'b')"
            " FOR UPDATE"
        )
        asking = asyncio.create_task(ask(http, jobs, plan=plan))
        while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not asking.done()
            await asyncio.sleep(0.01)
        await holder.execute("UPDATE jobs SET revision = 7 WHERE name = 'b'")
        await transaction.commit()
    answer = await asking
    a, b = [(await http.get(f"/jobs/{name}")).json() for name in "ab"]
    if planned:
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
        assert (a["priority"], b["priority"], b["revision"]) == (0, 0, 7)
    else:
        assert answer.status_code == 200, answer.text
        assert (a["priority"], b["priority"], b["revision"]) == (1, 1, 8)


async def test_a_name_that_is_taken_in_the_same_moment_is_changed_after_all(
    http: httpx2.AsyncClient,
) -> None:
    jobs = [body(name=f"j{number}") for number in range(30)]
    answers = await asyncio.gather(*(ask(http, jobs, owner="me") for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert sorted(answer.json()["created"] for answer in answers) == [0, 0, 0, 30]


async def test_the_log_names_what_was_made_changed_and_deleted(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await done(http, [body(name=name) for name in ("a", "b", "c")], owner="me")
    told = await done(http, [body(name="a", priority=2), body(name="b")], owner="me", prune=True)
    assert counts(told) == (0, 1, 1, 1)
    made, changed, deleted = await pending(pool)
    assert [made["action"], changed["action"], deleted["action"]] == [
        "jobs.created",
        "job.updated",
        "jobs.deleted",
    ]
    assert json.loads(made["many"])["count"] == 3
    assert json.loads(made["after"]) == {"owner": "me"}
    assert json.loads(changed["after"]) == {"priority": 2, "revision": 2}
    assert (changed["resource_name"], json.loads(deleted["many"])["count"]) == ("a", 1)


async def test_a_request_under_a_key_is_made_once(http: httpx2.AsyncClient) -> None:
    key = {"Idempotency-Key": "once"}
    sent = {"jobs": [body(name="a")], "owner": "me"}
    first = await http.post("/jobs/apply", json=sent, headers=key)
    assert first.json()["created"] == 1
    await http.delete("/jobs/a")
    again = await http.post("/jobs/apply", json=sent, headers=key)
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert await names(http) == []


async def test_a_held_run_of_a_changed_job_is_given_up_before_the_answer(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await done(http, [body(name="a", schedule={"every": "1h"})], owner="me")
    clock.ms, replica = MORNING_MS + HOUR_MS - 900, uuid4()
    (decision,) = await claim(pool, now_ms=clock.ms, replica=replica)
    jobs = [body(name="a", schedule={"every": "2h"})]
    asking = asyncio.create_task(ask(http, jobs, owner="me"))
    while (await http.get("/jobs/a")).json()["revision"] != 2:
        assert not asking.done()
        await asyncio.sleep(0.01)
    await forget(pool, decision.runs[0].id, replica)
    assert (await asking).status_code == 200
    assert await pool.fetchval("SELECT count(*) FROM runs") == 0


class TestUnderAQuota:
    @pytest.fixture
    def deps(self, deps: Deps) -> Deps:
        return msgspec.structs.replace(deps, quotas=Quotas(jobs_max=2))

    async def test_what_is_deleted_makes_room_and_the_rest_is_refused_as_a_whole(
        self, http: httpx2.AsyncClient
    ) -> None:
        await done(http, [body(name="a"), body(name="b")], owner="me")
        for dry in (True, False):
            refused = await ask(http, [body(name="c")], owner="me", dry_run=dry)
            assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        told = await done(http, [body(name="a"), body(name="c")], owner="me", prune=True)
        assert counts(told) == (1, 0, 1, 1)
