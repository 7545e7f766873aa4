"""Bad input: 4xx problem documents that name the field by JSON pointer, all faults at once."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, URL, Clock, body, create

AT_LEAST = {"schedule": {"every": "1h"}, "target": {"url": URL}}
NAME_LIKE_AN_ID = "0198aaaa-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


def schedule(**members: Any) -> dict[str, Any]:
    return {**AT_LEAST, "schedule": members}


def target(**members: Any) -> dict[str, Any]:
    return {**AT_LEAST, "target": {"url": URL, **members}}


def retry(**members: Any) -> dict[str, Any]:
    return {**AT_LEAST, "retry": members}


REFUSED: list[tuple[Any, str, str]] = [
    ({}, "/schedule", "invalid"),
    ([], "", "invalid"),
    ({**AT_LEAST, "shedule": {}}, "/shedule", "unknown_field"),
    (target(hedaers={}), "/target/hedaers", "unknown_field"),
    ({**AT_LEAST, "revision": 3}, "/revision", "read_only"),
    ({**AT_LEAST, "state": "paused"}, "/state", "read_only"),
    ({**AT_LEAST, "priority": "high"}, "/priority", "invalid"),
    ({**AT_LEAST, "priority": 101}, "/priority", "invalid"),
    ({**AT_LEAST, "priority": 10**400}, "/priority", "invalid"),
    ({**AT_LEAST, "overlap": "skpi"}, "/overlap", "invalid"),
    ({**AT_LEAST, "name": "Upper"}, "/name", "invalid"),
    ({**AT_LEAST, "name": NAME_LIKE_AN_ID}, "/name", "invalid"),
    ({**AT_LEAST, "name": NAME_LIKE_AN_ID.replace("-", "")}, "/name", "invalid"),
    ({**AT_LEAST, "name": "a\n"}, "/name", "invalid"),
    ({**AT_LEAST, "description": "x\0y"}, "/description", "invalid"),
    ({**AT_LEAST, "description": "x" * 4097}, "/description", "invalid"),
    ({**AT_LEAST, "labels": {"Team": "x"}}, "/labels/Team", "invalid"),
    ({**AT_LEAST, "labels": {f"k{n}": "v" for n in range(65)}}, "/labels", "invalid"),
    (schedule(), "/schedule", "invalid"),
    (schedule(every="1h", cron="* * * * *"), "/schedule", "invalid"),
    (schedule(every="0.5s"), "/schedule/every", "invalid"),
    (schedule(every="500ms"), "/schedule/every", "invalid"),
    (schedule(every="1h", anchor="2026-01-01T00:00:00"), "/schedule/anchor", "invalid"),
    (schedule(cron="61 * * * *"), "/schedule/cron", "invalid"),
    (schedule(cron=["* * * * *", "nonsense"]), "/schedule/cron/1", "invalid"),
    (schedule(cron="0 0 30 2 *"), "/schedule/cron", "invalid"),
    (schedule(cron="* * * * *", timezone="Europe/Berln"), "/schedule/timezone", "invalid"),
    (schedule(at="2026-02-30T00:00:00Z"), "/schedule/at", "invalid"),
    (schedule(at="2026-01-05T07:00:00Z"), "/schedule/at", "invalid"),
    (schedule(at="10000-01-01T00:00:00Z"), "/schedule/at", "invalid"),
    (schedule(at="9999-12-31T23:59:59-14:00"), "/schedule/at", "invalid"),
    (
        schedule(every="1h", end="2026-01-01T00:00:00Z", start="2026-02-01T00:00:00Z"),
        "/schedule/end",
        "invalid",
    ),
    (schedule(every="1h", max_runs=0), "/schedule/max_runs", "invalid"),
    (target(url="ftp://example.com/"), "/target/url", "invalid"),
    (target(url="http://user:pw@example.com/"), "/target/url", "invalid"),
    (target(url="http://10.0.0.1/"), "/target/url", "invalid"),
    (target(url="http://0x7f.1/"), "/target/url", "invalid"),
    (target(url="http://intranet/"), "/target/url", "invalid"),
    (target(url="https://example.com:6379/"), "/target/url", "invalid"),
    (target(url="https://example.com/" + "x" * 2083), "/target/url", "invalid"),
    (target(method="TRACE"), "/target/method", "invalid"),
    (target(headers={"Host": "x"}), "/target/headers/Host", "invalid"),
    (target(headers={"webhook-id": "x"}), "/target/headers/webhook-id", "invalid"),
    (target(headers={"a/b": "x"}), "/target/headers/a~1b", "invalid"),
    (target(headers={"x": "a\r\nb: c"}), "/target/headers/x", "invalid"),
    (target(headers={"X-A": "1", "x-a": "2"}), "/target/headers/x-a", "invalid"),
    (target(headers={f"h{n}": "v" for n in range(51)}), "/target/headers", "invalid"),
    (target(headers={"x": "v" * 16_384}), "/target/headers", "invalid"),
    (target(body="x" * 262_144), "/target/body", "invalid"),
    (target(body={}, body_base64="eA=="), "/target/body_base64", "invalid"),
    (target(body_base64="%%%"), "/target/body_base64", "invalid"),
    (target(timeout="99ms"), "/target/timeout", "invalid"),
    (target(timeout="31m"), "/target/timeout", "invalid"),
    (target(redirects=6), "/target/redirects", "invalid"),
    (target(success_status=["6xx"]), "/target/success_status/0", "invalid"),
    (target(redact={"headers": ["ok", "a b"]}), "/target/redact/headers/1", "invalid"),
    (target(redact={"headers": [""]}), "/target/redact/headers/0", "invalid"),
    (target(redact={"pointers": ["/a", "b"]}), "/target/redact/pointers/1", "invalid"),
    (target(redact={"pointers": ["/~"]}), "/target/redact/pointers/0", "invalid"),
    (target(redact={"pointers": ["/a"] * 51}), "/target/redact/pointers", "invalid"),
    (target(tls={}), "/target/tls", "invalid"),
    (target(auth={}), "/target/auth/type", "invalid"),
    (target(concurrency_key="a\nb"), "/target/concurrency_key", "invalid"),
    (target(concurrency_key="k" * 256), "/target/concurrency_key", "invalid"),
    (target(completion="hook"), "/target/completion", "invalid"),
    (target(format="cloudevent"), "/target/format", "invalid"),
    (retry(max_attempts=0), "/retry/max_attempts", "invalid"),
    (retry(initial_delay="5"), "/retry/initial_delay", "invalid"),
    (retry(max_delay="999999d"), "/retry/max_delay", "invalid"),
    (retry(delays=["1s", "soon"]), "/retry/delays/1", "invalid"),
    (retry(on=["299-200"]), "/retry/on/0", "invalid"),
    ({**AT_LEAST, "misfire": {"grace": "-1s"}}, "/misfire/grace", "invalid"),
    ({**AT_LEAST, "alerts": {"url": "http://10.0.0.1/"}}, "/alerts/url", "invalid"),
    ({**AT_LEAST, "alerts": {"url": "ftp://example.com/"}}, "/alerts/url", "invalid"),
    ({**AT_LEAST, "alerts": {"url": "https://example.com:6379/"}}, "/alerts/url", "invalid"),
    ({**AT_LEAST, "alerts": {"failures_in_row": 0}}, "/alerts/failures_in_row", "invalid"),
    ({**AT_LEAST, "alerts": {"late_after": "soon"}}, "/alerts/late_after", "invalid"),
    ({**AT_LEAST, "alerts": {"slow_factor": 0.5}}, "/alerts/slow_factor", "invalid"),
    (
        {**AT_LEAST, "alerts": {"failures_of": {"failures": 3, "runs": 2}}},
        "/alerts/failures_of/failures",
        "invalid",
    ),
    (
        {**AT_LEAST, "alerts": {"failures_of": {"runs": 2}}},
        "/alerts/failures_of/failures",
        "invalid",
    ),
    ({**AT_LEAST, "auto_pause_after": -1}, "/auto_pause_after", "invalid"),
]


@pytest.mark.parametrize(("sent", "pointer", "code"), REFUSED)
async def test_a_bad_value_is_refused_with_its_pointer(
    http: httpx2.AsyncClient, sent: Any, pointer: str, code: str
) -> None:
    for method, path in (("POST", "/jobs"), ("PUT", "/jobs/new"), ("POST", "/jobs?dry_run=true")):
        answer = await http.request(method, path, json=sent)
        problem = answer.json()
        assert answer.status_code == 422, problem
        assert answer.headers["Content-Type"] == "application/problem+json"
        faults = {error["pointer"]: error for error in problem["errors"]}
        assert pointer in faults, problem
        assert faults[pointer]["code"] == code
        assert problem["code"] == (code if len(faults) == 1 else "invalid")
    assert (await http.get("/jobs")).json()["items"] == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"schedule":}',
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"description":"\xff"}',
        b'{"description":"\\ud800"}',
        b'{"priority":NaN}',
        b"[" * 10_000 + b"]" * 10_000,
    ],
)
async def test_what_is_no_json_is_400(http: httpx2.AsyncClient, raw: bytes) -> None:
    for method, path in (("POST", "/jobs"), ("PUT", "/jobs/new")):
        answer = await http.request(
            method, path, content=raw, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_all_faults_are_told_at_once_those_of_shape_and_those_of_meaning(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post(
        "/jobs",
        json={
            "name": NAME_LIKE_AN_ID,
            "labls": {},
            "revision": 1,
            "schedule": {"cron": "61 * * * *", "timezone": "Nowhere"},
            "target": {"url": "http://10.0.0.1/", "headers": {"Host": "x"}},
            "retry": {"max_attempts": 1000},
            "misfire": {"grace": "99999d"},
        },
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid")
    assert {(error["pointer"], error["code"]) for error in problem["errors"]} == {
        ("/name", "invalid"),
        ("/labls", "unknown_field"),
        ("/revision", "read_only"),
        ("/schedule/cron", "invalid"),
        ("/schedule/timezone", "invalid"),
        ("/target/url", "invalid"),
        ("/target/headers/Host", "invalid"),
        ("/retry/max_attempts", "invalid"),
        ("/misfire/grace", "invalid"),
    }


async def test_a_misspelt_field_is_answered_with_the_one_that_was_meant(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post("/jobs", json={**AT_LEAST, "shedule": {}})
    assert "schedule" in answer.json()["errors"][0]["detail"]


async def test_a_null_in_the_body_of_a_target_is_data(http: httpx2.AsyncClient) -> None:
    made = await create(http, target={"body": {"text": "a\0b"}})
    assert made["target"]["body"] == {"text": "a\0b"}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("cursor=nonsense", "cursor"),
        ("stat=active", "stat"),
        ("state=sleeping", "state"),
        ("label=team", "label"),
        ("label=a:1&label=a:2", "label"),
        ("sort=size", "sort"),
        ("q=%00", "q"),
    ],
)
async def test_a_bad_query_parameter_is_named(
    http: httpx2.AsyncClient, query: str, parameter: str
) -> None:
    answer = await http.get(f"/jobs?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter
    assert "pointer" not in error


async def test_a_body_over_a_mebibyte_is_413_and_another_type_415(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post("/jobs", json=body(description="x" * 1_048_576))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = await http.post("/jobs", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_a_stale_tag_is_412_under_every_change(http: httpx2.AsyncClient) -> None:
    made = await create(http, name="tagged")
    stale = {"If-Match": '"7"'}
    for method, sent in (("PUT", body()), ("PATCH", {}), ("DELETE", None)):
        answer = await http.request(method, f"/jobs/{made['id']}", json=sent, headers=stale)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (await http.get("/jobs/tagged")).json() == made
