"""What a request costs, held to bounds by counting: statements, and calls of functions of ours.

The bounds are in budget.toml and are reviewed when they move. Counts do not depend on how busy the
machine is, so each is close above what was counted when it was set.
"""

import asyncio
import tomllib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import msgspec
import pytest

from counting import Statements, calls
from scheduler_svc.api.app import build_app
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.limits import Limiter
from scheduler_svc.domain.limits import Policy
from scheduler_svc.store.pool import Pool, open_pool
from serving import Clock, Records, lend

BOUNDS: dict[str, dict[str, float]] = tomllib.loads(
    Path(__file__).with_name("budget.toml").read_text()
)
KEY = "sk_" + "b" * 43
REQUESTS = 40
BODY = {
    "labels": {"team": "billing"},
    "schedule": {"cron": "0 9 * * MON", "timezone": "Europe/Berlin"},
    "target": {
        "url": "https://example.com/report",
        "headers": {"X-Kind": "budget"},
        "body": {"a": 1},
    },
}
PAGE = 50


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
async def counted(dsn: str, statements: Statements) -> AsyncIterator[Pool]:
    """One connection that tells of each statement."""
    pool = await open_pool(dsn, application_name="budget", size_max=1, on_statement=statements)
    yield pool
    pool.terminate()


@pytest.fixture
async def guarded(counted: Pool) -> AsyncIterator[httpx2.AsyncClient]:
    """The API that asks for keys and counts requests, as production has it."""
    clock = Clock()
    plenty = [Policy("reads", 10**7), Policy("writes", 10**7)]
    deps = msgspec.structs.replace(
        lend(counted, clock, Records()),
        gate=Gate(counted, clock, required=True, bootstrap_key=KEY),
        meter=Limiter(counted, plenty),
    )
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(build_app(deps)),
        base_url="http://127.0.0.1:8080",
        headers={"Authorization": f"Bearer {KEY}"},
    ) as caller:
        for _ in range(PAGE):
            (await caller.post("/jobs", json=BODY)).raise_for_status()
        yield caller


async def spent(
    caller: httpx2.AsyncClient, statements: Statements, request: httpx2.Request
) -> dict[str, float]:
    """Count what one request costs, once all that is remembered is."""
    for _ in range(3):
        (await caller.send(request)).raise_for_status()
    statements.names = Counter()
    with calls() as made:
        for _ in range(REQUESTS):
            (await caller.send(request)).raise_for_status()
    told = made()
    return {
        "statements": sum(statements.names.values()) / REQUESTS,
        "calls": sum(told.values()) / REQUESTS,
    }


@pytest.mark.parametrize("what", ["read a job", "read a name", "list jobs", "create a job"])
async def test_a_request_costs_what_it_may(
    guarded: httpx2.AsyncClient, statements: Statements, what: str
) -> None:
    made = await guarded.post("/jobs", json=BODY | {"name": "named"})
    request = {
        "read a job": guarded.build_request("GET", f"/jobs/{made.json()['id']}"),
        "read a name": guarded.build_request("GET", "/jobs/named"),
        "list jobs": guarded.build_request("GET", "/jobs", params={"limit": PAGE}),
        "create a job": guarded.build_request("POST", "/jobs", json=BODY),
    }[what]
    cost = await spent(guarded, statements, request)
    print(what, cost)
    assert {name: n for name, n in cost.items() if n > BOUNDS[what][name]} == {}


async def test_reads_at_once_take_few_statements(
    guarded: httpx2.AsyncClient, statements: Statements
) -> None:
    page = (await guarded.get("/jobs", params={"limit": PAGE})).json()["items"]
    statements.names = Counter()
    answers = await asyncio.gather(*(guarded.get(f"/jobs/{job['id']}") for job in page))
    assert [answer.json()["id"] for answer in answers] == [job["id"] for job in page]
    each = sum(statements.names.values()) / PAGE
    print(each, statements.names)
    assert each <= BOUNDS["read jobs at once"]["statements"]


async def test_creates_at_once_take_few_statements(
    guarded: httpx2.AsyncClient, statements: Statements
) -> None:
    statements.names = Counter()
    answers = await asyncio.gather(*(guarded.post("/jobs", json=BODY) for _ in range(PAGE)))
    assert {answer.status_code for answer in answers} == {201}
    each = sum(statements.names.values()) / PAGE
    print(each, statements.names)
    assert each <= BOUNDS["create jobs at once"]["statements"]


async def test_a_create_under_a_key_takes_few_statements(
    guarded: httpx2.AsyncClient, statements: Statements
) -> None:
    statements.names = Counter()
    for turn in range(REQUESTS):
        made = await guarded.post("/jobs", json=BODY, headers={"Idempotency-Key": f"{turn}"})
        made.raise_for_status()
    each = sum(statements.names.values()) / REQUESTS
    print(each, statements.names)
    assert each <= BOUNDS["create a job under a key"]["statements"]
