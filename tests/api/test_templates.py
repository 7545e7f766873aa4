"""Templates in a job: what no attempt could fill is refused with its place and what was meant."""

from typing import Any

import httpx2
import pytest

from factories import body, create
from scheduler_svc.store.pool import Pool
from sealing import keep_secret

URL = "http://127.0.0.1/in"

GOOD: list[dict[str, Any]] = [
    {"url": URL + "?a={{run.id}}&b={{ run.scheduled_for | date \"%Y-%m-%d\" 'Europe/Berlin' }}"},
    {"url": URL + "?{{job.name}}={{job.labels.team}}&t={{secret:token}}"},
    {"headers": {"X-A": "{{run.attempt}}, {{run.trigger}}, {{secret:token}}", "X-B": "{{'{{'}}"}},
    {"body": {"a": ["{{job.id}}", {"b": 'x {{run.scheduled_for | date "%s"}}'}], "{{run.id}}": 1}},
    {"body": "}} { not one } {"},
    {"auth": {"type": "bearer", "token": "{{secret:token}}"}},
]

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"url": URL + "?a={{run.idd}}"}, "/target/url", "did you mean 'run.id'?"),
    ({"url": URL + "/{{run.id}}"}, "/target/url", "outside the query"),
    ({"url": "{{run.id}}://127.0.0.1/?"}, "/target/url", "outside the query"),
    ({"url": "http://{{job.name}}.example.com/?a={{run.id}}"}, "/target/url", "outside the query"),
    ({"url": "http://127.0.0.1:{{run.attempt}}/?a=b"}, "/target/url", "outside the query"),
    ({"url": URL + "?a=%{{run.attempt}}"}, "/target/url", "%25"),
    ({"url": URL + "?a=%4{{run.attempt}}"}, "/target/url", "%25"),
    ({"url": URL + "?a=b c{{run.attempt}}"}, "/target/url", "space"),
    ({"url": URL + "?a={{secret:tokne}}"}, "/target/url", "did you mean 'token'?"),
    ({"url": URL + "?a={{job.labels.taem}}"}, "/target/url", "did you mean 'team'?"),
    ({"headers": {"X-A": "{{run.at}}"}}, "/target/headers/X-A", "there are run.id"),
    ({"headers": {"X-A": "{{"}}, "/target/headers/X-A", "a literal '{{' is {{'{{'}}"),
    ({"headers": {"X-A": "{{secret:nope}}"}}, "/target/headers/X-A", "PUT /secrets/nope"),
    ({"headers": {"X-A": "{{job.labels.odd}}"}}, "/target/headers/X-A", "no header can hold"),
    ({"headers": {"Authorization": "{{run.foo}}"}}, "/target/headers/Authorization", "which there"),
    ({"headers": {"X-A": "{{run.id | date '%Y'}}"}}, "/target/headers/X-A", "the only one is"),
    ({"headers": {"X-A": "{{run.scheduled_for | upper}}"}}, "/target/headers/X-A", "only one"),
    ({"headers": {"X-A": "{{run.scheduled_for | date}}"}}, "/target/headers/X-A", "no format"),
    ({"headers": {"X-A": "{{run.scheduled_for | date '%c'}}"}}, "/target/headers/X-A", "'%c'"),
    (
        {"headers": {"X-A": "{{run.scheduled_for | date '%Y' 'Europe/Berln'}}"}},
        "/target/headers/X-A",
        "did you mean 'Europe/Berlin'?",
    ),
    ({"body": {"a": ["{{run.id}"]}}, "/target/body", "begins no template"),
    ({"body": "{{secret:token}}"}, "/target/body", "never into a body"),
    ({"body": "{{job.labels.nope}}"}, "/target/body", "which the job has not"),
]


@pytest.fixture(autouse=True)
async def _token(pool: Pool) -> None:
    await keep_secret(pool, "token", "value")


def job(target: dict[str, Any]) -> dict[str, Any]:
    return body(labels={"team": "billing", "odd": "two\nlines"}, target=target)


@pytest.mark.parametrize("target", GOOD)
async def test_what_can_be_filled_is_taken(
    http: httpx2.AsyncClient, target: dict[str, Any]
) -> None:
    answer = await http.post("/jobs", json=job(target))
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(("target", "pointer", "told"), REFUSED)
async def test_what_can_not_be_filled_is_refused_with_what_was_meant(
    http: httpx2.AsyncClient, target: dict[str, Any], pointer: str, told: str
) -> None:
    answer = await http.post("/jobs", json=job(target))
    assert answer.status_code == 422, answer.text
    faults = {error["pointer"]: error["detail"] for error in answer.json()["errors"]}
    assert told in faults[pointer]


async def test_all_faults_are_told_at_once(http: httpx2.AsyncClient) -> None:
    sent = job({"url": URL + "?a={{x}}", "headers": {"X-A": "{{y}}"}, "body": "{{z}}"})
    sent["retry"] = {"max_attempts": 0}
    answer = await http.post("/jobs", json=sent)
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/target/url",
        "/target/headers/X-A",
        "/target/body",
        "/retry/max_attempts",
    }


async def test_the_address_is_judged_as_one_without_templates(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/jobs", json=job({"url": "http://10.0.0.1/?a={{run.id}}"}))
    assert answer.status_code == 422
    made = await http.post("/jobs", json=job({"url": URL + "?a={{run.id}}"}))
    assert made.json()["target"]["url"] == URL + "?a={{run.id}}"


async def test_what_a_trigger_gives_is_judged_like_the_job(http: httpx2.AsyncClient) -> None:
    await create(http, name="a", labels={"team": "x"}, overlap="allow")
    sent = {
        "headers": {"X-A": "{{run.foo}}", "X-B": "{{secret:nope}}"},
        "body": ["{{job.labels.y}}"],
    }
    answer = await http.post("/jobs/a/trigger", json=sent)
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"/headers/X-A", "/headers/X-B", "/body"}
    sent = {"headers": {"X-A": "{{secret:token}}"}, "body": ["{{job.labels.team}}"]}
    assert (await http.post("/jobs/a/trigger", json=sent)).status_code == 202


async def test_what_was_stored_before_there_were_templates_does_not_stand_in_the_way(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await create(http, name="a", labels={"team": "x"}, target={"headers": {"X-A": "h"}, "body": {}})
    await pool.execute(
        """UPDATE jobs SET definition = replace(replace(
        definition::text, '"body":{}', '"body":{"a":"{{#each}}"}'), '"h"', '"{{old"')::json"""
    )
    assert (await http.patch("/jobs/a", json={"priority": 1})).status_code == 200
    answer = await http.patch("/jobs/a", json={"target": {"body": {"a": "{{#if}}"}}})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/target/body"]
    answer = await http.patch(
        "/jobs/a", json={"target": {"headers": {"X-A": "{{job.labels.team}}"}, "body": None}}
    )
    assert answer.status_code == 200
    answer = await http.patch("/jobs/a", json={"labels": {"team": None}})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/target/headers/X-A"]


async def test_an_event_s_own_attributes_can_not_be_set(http: httpx2.AsyncClient) -> None:
    headers = {"ce-id": "x", "Ce-SpecVersion": "x", "ce-time": "x", "ce-type": "mine", "ce-e": "x"}
    answer = await http.post("/jobs", json=job({"format": "cloudevents", "headers": headers}))
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/target/headers/ce-id",
        "/target/headers/Ce-SpecVersion",
        "/target/headers/ce-time",
    }
    answer = await http.post("/jobs", json=job({"headers": {"ce-id": "x"}}))
    assert answer.status_code == 201
