"""docs/api.md tells the truth: its tables are the code's, its examples work."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from scheduler_svc.api import listing
from scheduler_svc.api.app import build_app
from scheduler_svc.api.routes import ROUTES
from scheduler_svc.domain.access import SCOPES
from scheduler_svc.store.pool import Pool
from serving import Clock, Records, lend

NAMED = {
    "backfills": "backfill",
    "replays": "replay",
    "concurrency keys": "concurrency keys",
    "namespaces": "namespaces",
    "secrets": "secrets",
    "api-keys": "API keys",
    "replicas": "replicas",
    "audit": "audit log",
}
"""How the table of scopes names what the operations of a tag are about."""
PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def examples(kind: str) -> list[Any]:
    return [
        json.loads(text) for text in re.findall(rf"```json {kind}\n(.*?)\n```", PAGE, re.DOTALL)
    ]


@pytest.fixture
async def http(pool: Pool) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(build_app(lend(pool, Clock(), Records())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.mark.parametrize(
    ("mark", "made"), [("operations", listing.operations), ("codes", listing.codes)]
)
def test_the_page_shows_the_tables_as_the_code_has_them(mark: str, made: Callable[[], str]) -> None:
    shown = re.search(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", PAGE, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == made()


def test_the_page_says_what_each_scope_is_for_and_what_asks_for_none() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+(?::[a-z]+)?)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert [name for name in rows if name in SCOPES] == list(SCOPES)
    assert {name for name in rows if ":" in name} < set(SCOPES)
    for route in ROUTES:
        if route.needs != "open" and route.tag in NAMED:
            assert NAMED[route.tag] in rows[route.needs], route.path
    assert {route.path for route in ROUTES if route.needs == "events:read"} == {
        "/metrics",
        "/events",
    }
    opens = {route.path.split("/")[1] for route in ROUTES if route.needs == "open"}
    assert opens == {
        "",
        "docs",
        "openapi.json",
        "healthz",
        "readyz",
        ".well-known",
        "runs",
        "ui",
        "schemas",
    }


async def test_each_job_on_the_page_can_be_created(http: httpx2.AsyncClient) -> None:
    assert len(examples("create")) == 3
    for example in examples("create"):
        answer = await http.post("/jobs", json=example)
        assert answer.status_code == 201, answer.text


async def test_the_namespace_on_the_page_can_be_put(http: httpx2.AsyncClient) -> None:
    (example,) = examples("namespace")
    answer = await http.put("/namespaces/default", json=example)
    assert answer.status_code == 201, answer.text
    assert {name: answer.json()[name] for name in example} == example


async def test_the_bulk_request_on_the_page_creates_its_jobs(http: httpx2.AsyncClient) -> None:
    (example,) = examples("bulk")
    answer = await http.post("/jobs/bulk", json=example)
    assert (answer.status_code, answer.json()["created"]) == (201, 2), answer.text


async def test_the_file_on_the_page_is_planned(http: httpx2.AsyncClient) -> None:
    (example,) = examples("apply")
    answer = await http.post("/jobs/apply", json=example)
    assert (answer.status_code, answer.json()["created"]) == (200, 1), answer.text


async def test_the_preview_on_the_page_works(http: httpx2.AsyncClient) -> None:
    (example,) = examples("preview")
    answer = await http.post("/schedules/preview", json=example)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["occurrences"]) == 3
    assert answer.json()["warnings"]


async def test_the_backfill_on_the_page_is_counted(http: httpx2.AsyncClient) -> None:
    (example,) = examples("backfill")
    job = {"name": "t", "schedule": {"cron": "0 * * * *"}, "target": {"url": "http://127.0.0.1/"}}
    assert (await http.post("/jobs", json=job)).status_code == 201
    answer = await http.post("/jobs/t/backfill", json=example)
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == 24


async def test_the_limits_on_the_page_can_be_set(http: httpx2.AsyncClient) -> None:
    (example,) = examples("key")
    answer = await http.put("/concurrency-keys/api.example.com", json=example)
    assert answer.status_code == 201, answer.text


async def test_the_problem_on_the_page_is_one_that_is_answered(http: httpx2.AsyncClient) -> None:
    (problem,) = examples("problem")
    body = {"schedule": {"every": "5m"}, "target": {"urll": "https://example.com/"}}
    answer = await http.post("/jobs", json=body, headers={"X-Request-ID": "docs"})
    assert answer.json() == problem
