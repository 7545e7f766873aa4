"""POST /jobs/bulk: many jobs at once are what each would be alone; all of them, or item by item."""

import json
from typing import Any

import httpx2
import msgspec
import pytest
from starlette.datastructures import Headers

from factories import MORNING_MS, URL, Clock, Json, body, create
from scheduler_svc.api.bulk_read import BulkReader
from scheduler_svc.api.context import Call, Deps
from scheduler_svc.api.namespace_rules import NamespaceRules
from scheduler_svc.domain.errors import Malformed, Refused
from scheduler_svc.domain.quotas import NO_QUOTAS
from scheduler_svc.store.pool import Pool

JSON = {"Content-Type": "application/json"}
GOOD: list[Json] = [
    body(name="a", labels={"team": "x"}),
    body(schedule={"cron": "0 9 * * MON", "timezone": "Europe/Berlin"}, priority=3),
    body(schedule={"cron": "H H * * *", "spread": "10m"}, description="drawn"),
    body(schedule={"every": "90m"}, retry={"max_delay": "90m", "on": [500]}),
    body(schedule={"at": "2026-01-05T08:00:01Z"}, misfire={"policy": "skip", "grace": "60s"}),
    body(schedule={"at": ["2026-01-05T07:00:00Z", "2026-01-06T07:00:00Z"], "if_past": "run"}),
    body(schedule={"at": "2026-01-05T07:00:00Z", "if_past": "skip"}),
    body(schedule={"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "max_runs": 1}),
    body(target={"body": {"deep": [1, {"b": None}]}, "headers": {"X-A": "b"}}),
    body(description="a\x1eb", labels={"team": "\x1e"}, target={"body": {"\x1e": "\x1e"}}),
    body(target={"completion": "callback", "completion_timeout": "90m"}),
    body(alerts={"url": URL, "never_ran": True, "late_after": "90m"}),
    body(alerts={"url": URL, "never_ran": True}, schedule={"at": "2026-01-05T08:00:01Z"}),
]


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def bulk(http: httpx2.AsyncClient, jobs: list[Any], query: str = "") -> httpx2.Response:
    return await http.post(f"/jobs/bulk{query}", json={"jobs": jobs})


async def rows(pool: Pool, table: str, order: str = "1") -> list[Any]:
    return [tuple(row) for row in await pool.fetch(f"SELECT * FROM {table} ORDER BY {order}")]


async def test_each_job_is_what_it_would_be_if_it_were_created_alone(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    answer = await bulk(http, GOOD)
    assert answer.status_code == 201
    told = answer.json()
    assert told["created"] == len(GOOD)
    assert [item["index"] for item in told["items"]] == list(range(len(GOOD)))
    assert {item["error"] for item in told["items"]} == {None}
    for item, sent in zip(told["items"], GOOD, strict=True):
        unnamed = {**sent, "name": None}
        alone = (await http.post("/jobs", json=unnamed)).json()
        made = (await http.get(f"/jobs/{item['id']}")).json()
        drawn = "H H" in str(sent["schedule"])
        for name in made:
            if name in {"id", "name", "last_run"} or (
                drawn and name in {"next_fire_at", "upcoming"}
            ):
                continue
            assert made[name] == alone[name], (name, sent)
        assert await kept_of(pool, item["id"], drawn=drawn) == await kept_of(
            pool, alone["id"], drawn=drawn
        )


async def test_a_single_job_without_a_name_is_created_too(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    (item,) = (
        await bulk(http, [body(schedule={"at": "2026-01-05T07:00:00Z", "if_past": "skip"})])
    ).json()["items"]
    made = (await http.get(f"/jobs/{item['id']}")).json()
    assert (made["name"], made["state"]) == (None, "completed")


async def kept_of(pool: Pool, job_id: str, *, drawn: bool) -> list[Any]:
    """What the store keeps of a job beside its definition."""
    timer = await pool.fetchrow(
        "SELECT scheduled_for, fire_at, revision, runs_made FROM job_timers WHERE job_id = $1",
        job_id,
    )
    expected = await pool.fetchrow(
        "SELECT versions, instants, refresh_at FROM job_expectations WHERE job_id = $1", job_id
    )
    looks = await pool.fetchrow(
        "SELECT quiet_from, watch_at, incidents FROM job_incidents WHERE job_id = $1", job_id
    )
    runs = await pool.fetch(
        "SELECT scheduled_for, trigger, status, reason, occurrences, queued, next_attempt_at"
        " FROM runs WHERE job_id = $1 ORDER BY scheduled_for",
        job_id,
    )
    assert timer is not None
    assert expected is not None
    looked_at = None if looks is None else tuple(looks)
    if drawn:
        return [timer["scheduled_for"] is None, len(expected["instants"])]
    return [tuple(timer), tuple(expected), looked_at, [tuple(run) for run in runs]]


async def test_every_fault_of_every_item_is_told_with_its_pointer_and_nothing_is_created(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    answer = await bulk(
        http,
        [
            body(name="good"),
            {"schedule": {"every": "1h"}, "target": {"urll": URL}, "revision": 2},
            body(priority=1000, schedule={"cron": "61 * * * *"}),
        ],
    )
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {
        *("/jobs/1/target/urll", "/jobs/1/target/url", "/jobs/1/revision"),
        *("/jobs/2/priority", "/jobs/2/schedule/cron"),
    }
    assert answer.json()["detail"].startswith("Nothing was created: 2 of the items have 5 faults")
    assert await rows(pool, "jobs") == []


async def test_of_many_faults_a_hundred_are_listed_and_all_are_counted(
    http: httpx2.AsyncClient,
) -> None:
    answer = await bulk(http, [body(priority=1000)] * 3000)
    assert len(answer.json()["errors"]) == 100
    assert "3000 faults; the first 100 are listed" in answer.json()["detail"]


async def test_with_partial_what_is_good_is_created_and_the_rest_has_its_error(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="taken")
    sent = [body(name="new"), body(priority=1000), body(name="taken"), body()]
    answer = await bulk(http, sent, "?partial=true")
    told = answer.json()
    assert (answer.status_code, told["created"]) == (200, 2)
    made, invalid, taken, unnamed = told["items"]
    assert made["error"] is None
    assert unnamed["error"] is None
    assert (invalid["id"], invalid["error"]["code"]) == (None, "invalid")
    assert [error["pointer"] for error in invalid["error"]["errors"]] == ["/priority"]
    assert (taken["id"], taken["error"]["code"]) == (None, "name_taken")
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 3


async def test_names_that_are_taken_refuse_the_whole_request_and_are_all_named(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="one")
    await create(http, name="two")
    answer = await bulk(http, [body(name="two"), body(name="three"), body(name="one")])
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/jobs/0/name",
        "/jobs/2/name",
    ]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 2


@pytest.mark.parametrize("query", ["", "?partial=true"])
async def test_a_name_twice_in_one_request_is_refused_either_way(
    http: httpx2.AsyncClient, pool: Pool, query: str
) -> None:
    answer = await bulk(http, [body(name="a"), body(), body(name="a")], query)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/jobs/2/name"
    assert "/jobs/0" in error["detail"]
    assert await rows(pool, "jobs") == []


async def test_the_same_key_makes_the_jobs_once(http: httpx2.AsyncClient, pool: Pool) -> None:
    headers = {"Idempotency-Key": "k"}
    sent = {"jobs": [body()] * 700}
    first = await http.post("/jobs/bulk", json=sent, headers=headers)
    again = await http.post("/jobs/bulk", json=sent, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 700


async def test_a_long_body_under_a_key_is_told_from_another(http: httpx2.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    sent = {"jobs": [body(description="x" * 4000) for _ in range(200)]}
    assert (await http.post("/jobs/bulk", json=sent, headers=headers)).status_code == 201
    sent["jobs"][199]["description"] = "y"
    other = await http.post("/jobs/bulk", json=sent, headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"


async def test_replicas_are_woken_once_for_the_earliest(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    heard: list[str] = []
    async with pool.acquire() as conn:
        await conn.add_listener("scheduler", lambda *said: heard.append(str(said[3])))
        answer = await bulk(http, [body(schedule={"every": f"{n + 60}s"}) for n in range(600)])
        assert answer.status_code == 201
        await conn.execute("SELECT 1")
        await conn.reset()
    assert heard == [f"wake {MORNING_MS + 60_000}"]


@pytest.mark.parametrize(
    ("sent", "status", "pointer"),
    [
        (b"[]", 422, ""),
        (b"{}", 422, "/jobs"),
        (b'{"jobs": {}}', 422, "/jobs"),
        (b'{"jobs": [], "more": 1}', 422, "/more"),
        (b'{"jobs": [1]}', 422, "/jobs/0"),
        (b'{"jobs": [{"a": ]}', 400, None),
        (b'{"jobs": ["\xff"]}', 400, None),
        (json.dumps({"jobs": [1] * 10_001}).encode(), 422, "/jobs"),
    ],
)
async def test_what_is_no_list_of_jobs_is_refused_with_the_reason(
    http: httpx2.AsyncClient, sent: bytes, status: int, pointer: str | None
) -> None:
    answer = await http.post("/jobs/bulk", content=sent, headers=JSON)
    assert answer.status_code == status
    if pointer is not None:
        assert pointer in {error["pointer"] for error in answer.json()["errors"]}


async def test_no_jobs_at_all_are_created_without_complaint(http: httpx2.AsyncClient) -> None:
    answer = await bulk(http, [])
    assert (answer.status_code, answer.json()) == (201, {"created": 0, "items": []})


ODD = [
    b'{"name":"a\\n"}',
    b'{"name":"a\\u000a"}',
    b'{"description":"nul\\u0000"}',
    b'{"priority":1.0}',
    b'{"priority":1e0}',
    b'{"priority":true}',
    b'{"priority":"1"}',
    b'{"priority":99999999999999999999}',
    b'{"retry":{"multiplier":1e999}}',
    b'{"retry":{"multiplier":2}}',
    b'{"target":{"url":"%U","body":1e999}}',
    b'{"target":{"url":"%U","body":%D}}',
    b'{"target":{"url":"%U","body":"\\ud800"}}',
    b'{"target":{"url":"%U","body":null}}',
    b'{"target":{"url":"%U","body":{"a":1,"a":2}}}',
    b'{"target":{"url":"%U\\n"}}',
    b'{"target":{"url":"%U","timeout":"30s\\n"}}',
    b'{"target":{"url":"%U","timeout":"1ms"}}',
    b'{"target":{"url":"%U","success_status":[99]}}',
    b'{"target":{"url":"%U","success_status":[true]}}',
    b'{"schedule":{"every":"9999999d"}}',
    b'{"schedule":{"every":"1h","anchor":"9999-12-31T23:59:59-05:00"}}',
    b'{"schedule":{"every":"1h","anchor":"2026-01-01T00:00:00"}}',
    b'{"schedule":{"at":"9999-12-31T23:59:59-05:00"}}',
    b'{"schedule":{"at":"12026-01-01T00:00:00Z"}}',
    b'{"schedule":{"every":"1h","max_runs":1.5}}',
    b'{"schedule":{"every":"1h","end":"0001-01-01T00:00:00+05:00"}}',
    b'{"labels":{"A":"b"}}',
    b'{"labels":{"a\\n":"b"}}',
    b'{"name":"01980000-0000-7000-8000-000000000000"}',
    b'{"alerts":{"late_after":"5m"}}',
    b'{"alerts":null}',
    b'{"overlap":"Skip"}',
    b'{"misfire":{"grace":"60s"}}',
    b'{"target":{"url":"%U#x"}}',
    b'{"target":{"url":"%U/{{x}}"}}',
    b'{"target":{"url":"%U/%zz"}}',
    b'{"target":{"url":"%U@evil.example/"}}',
    b'{"target":{"url":"%U:99/"}}',
    b'{"target":{"url":"http://10.0.0.1/"}}',
    b'{"target":{"url":"http://10.0.0.1/","timeout":"60s"}}',
    b'{"target":{"url":"%U","headers":{"X-A":"{{nothing}}"}}}',
    b'{"target":{"url":"%U","headers":{"X-A":"caf\\u00e9"}}}',
    b'{"target":{"url":"%U","headers":{"X-A":"***"}}}',
    b'{"target":{"url":"%U","headers":{"Authorization":"***"}}}',
    b'{"target":{"url":"%U","headers":{"Host":"x"}}}',
    b'{"target":{"url":"%U","headers":{"x-a":"1","X-A":"2"}}}',
    b'{"target":{"url":"%U","headers":{"X-A":"%L"}}}',
    b'{"target":{"url":"%U","body":"{{secret:none}}"}}',
    b'{"target":{"url":"%U","body":"\\u007b{job.none}}"}}',
    b'{"target":{"url":"%U","body":"%L%L%L%L%L%L%L%L%L%L%L%L%L%L%L%L%L"}}',
    b'{"target":{"url":"%U","body_base64":"?"}}',
    b'{"target":{"url":"%U","format":"cloudevents","headers":{"ce-id":"1"}}}',
    b'{"target":{"url":"%U","completion_timeout":"1h"}}',
    b'{"target":{"url":"%U","auth":{"type":"bearer","token":""}}}',
    b'{"target":{"url":"%U","tls":{}}}',
    b'{"target":{"url":"%U","redact":{"pointers":["x"]}}}',
    b'{"target":{"url":"%U","concurrency_key":" "}}',
    b'{"alerts":{"url":"http://10.0.0.1/"}}',
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.decode())
async def test_an_odd_item_is_judged_as_a_request_of_its_own_is(
    http: httpx2.AsyncClient, odd: bytes
) -> None:
    """The quick way and the slow way agree, about what is taken and about every fault.

    Before the item go two that have in common with it what they can, so that it is known.
    """
    laid = odd.replace(b"%U", URL.encode()).replace(b"%D", b"[" * 101 + b"]" * 101)
    laid = laid.replace(b"%L", b"x" * 17_000)
    whole = {
        "schedule": b'{"every":"1h"}',
        "target": b'{"url":"%s"}' % URL.encode(),
    }
    inner = laid[1:-1]
    for name, text in whole.items():
        if not inner.startswith(b'"%s"' % name.encode()):
            inner += b',"%s":%s' % (name.encode(), text)
    item = b"{" + inner + b"}"
    alone = await http.post("/jobs?dry_run=true", content=item, headers=JSON)
    like = b"".join(
        b'{"schedule":{"every":"1h"},"target":{"url":"%s","headers":%s}},' % (URL.encode(), headers)
        for headers in (b"{}", b'{"X-A":"b"}')
    )
    together = b'{"jobs":[%s%s]}' % (like, item)
    many = await http.post("/jobs/bulk?partial=true", content=together, headers=JSON)
    if alone.status_code == 400:
        assert many.status_code == 400
        return
    *before, told = many.json()["items"]
    assert [item["error"] for item in before] == [None, None]
    if alone.status_code == 200:
        assert told["error"] is None
        made = (await http.get(f"/jobs/{told['id']}")).json()
        for name in ("schedule", "target", "retry", "labels", "priority", "alerts", "name"):
            assert made[name] == alone.json()[name]
    else:
        assert told["error"]["code"] == alone.json()["code"]
        assert told["error"]["errors"] == alone.json()["errors"]


async def test_the_second_of_two_equal_schedules_is_judged_by_the_first(deps: Deps) -> None:
    call = Call(
        deps=deps,
        request_id="r",
        namespace="default",
        method="POST",
        url_path="/jobs/bulk",
        path={},
        query={},
        query_string="",
        headers=Headers(),
        body=b"",
    )
    reader = BulkReader(
        call, MORNING_MS, secrets=frozenset(), rules=NamespaceRules(None, NO_QUOTAS)
    )
    drafts = [reader.read(n, msgspec.json.encode(sent)) for n, sent in enumerate([*GOOD, *GOOD])]
    for one, twin in zip(drafts, drafts[len(GOOD) :], strict=False):
        if "H H" in str(one.job.definition.schedule.cron):
            assert one.job.scheduled_for != twin.job.scheduled_for
        else:
            assert one.job.definition == twin.job.definition
            assert one.job.scheduled_for == twin.job.scheduled_for
            assert one.ahead == twin.ahead
    with pytest.raises((Refused, Malformed)):
        reader.read(0, b'{"schedule": 1}')
