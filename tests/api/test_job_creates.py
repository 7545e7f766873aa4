"""Jobs that are created at once: in fewer statements, and each as if it were alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from msgspec import structs

from counting import Statements
from factories import MORNING_MS, Json, body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.domain.herd import HERD_MIN
from scheduler_svc.store import notices
from scheduler_svc.store.gathering import LANES
from scheduler_svc.store.job_create import JobCreates
from scheduler_svc.store.pool import Pool, connection, open_pool, transaction
from serving import Clock

MANY = 20
PATIENCE = 10.0
TAKEN = """
    INSERT INTO jobs (
        id, namespace, name, description, labels, definition, state, revision, created_at,
        updated_at
    )
    VALUES (gen_random_uuid(), 'default', 'a', '', '{}', '{}', 'active', 1, now(), now())
"""
CUT = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_locks
    WHERE NOT granted AND relation = 'jobs'::regclass
"""
OWN = ("id", "job_id", "resource_id", "request_id", "at")


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


@pytest.fixture
def statements() -> Statements:
    return Statements()


@pytest.fixture
async def counted(
    dsn: str, deps: Deps, statements: Statements
) -> AsyncIterator[httpx2.AsyncClient]:
    """The API, with its creates on connections that tell of each statement."""
    pool = await open_pool(dsn, application_name="creates", on_statement=statements)
    lent = structs.replace(deps, creates=JobCreates(pool))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(build_app(lent)), base_url="http://127.0.0.1"
    ) as opened:
        yield opened
    pool.terminate()


async def post(http: httpx2.AsyncClient, given: Json, number: int = 0) -> httpx2.Response:
    return await http.post("/jobs", json=given, headers={"X-Request-ID": f"r-{number}"})


async def at_once(http: httpx2.AsyncClient, given: list[Json]) -> list[httpx2.Response]:
    return await asyncio.gather(*(post(http, one, number) for number, one in enumerate(given)))


def various() -> list[Json]:
    """Jobs that differ in all that a row may hold."""
    schedules: list[Json] = [
        {"every": "90m"},
        {"cron": ["0 9 * * MON", "@hourly"], "timezone": "Europe/Berlin", "max_runs": 3},
        {"at": "2031-01-05T08:00:30+05:30"},
        {"at": ["2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"]},
        {"cron": "* * * * *", "end": "2027-01-01T00:00:00Z"},
        {"every": "1h", "start": "2026-02-01T00:00:00Z"},
    ]
    targets: list[Json] = [
        {"body": {"é": [1, 1.50, None]}},
        {"headers": {"X-A": 'a,b"{}\\'}},
        {"headers": {"Authorization": "Bearer s"}},
    ]
    labels: list[Json] = [{}, {"team": "x"}, {"a": "1", "b": ""}]
    descriptions = ["", "é, \U0001f600\u001e{NULL}"]
    return [
        body(
            schedule=schedules[n % len(schedules)],
            target=targets[n % len(targets)],
            labels=labels[n // 2 % len(labels)],
            description=descriptions[n % len(descriptions)],
        )
        for n in range(MANY)
    ]


async def stored(pool: Pool) -> list[str]:
    """All that was written, but for what is each job's own."""
    found: list[str] = []
    for table in ("jobs", "job_timers", "job_expectations", "audit_pending"):
        for row in await pool.fetch(f"SELECT to_jsonb(t) FROM {table} AS t"):
            values: dict[str, Any] = json.loads(row[0])
            if table == "jobs":
                values["definition"]["target"]["headers"].pop("Authorization", None)  # sealed anew
            kept = {name: value for name, value in values.items() if name not in OWN}
            found.append(f"{table} {json.dumps(kept, sort_keys=True)}")
    return sorted(found)


async def forget(pool: Pool) -> None:
    async with connection(pool) as conn, conn.transaction():
        await conn.execute("SET LOCAL scheduler.audit TO 'upkeep'")
        await conn.execute("TRUNCATE jobs, job_timers, job_expectations, audit_pending CASCADE")


async def test_what_is_created_at_once_is_what_is_created_one_after_the_other(
    http: httpx2.AsyncClient, counted: httpx2.AsyncClient, statements: Statements, pool: Pool
) -> None:
    given = various()
    await post(counted, body())  # what holds is known from now on
    await forget(pool)
    statements.names.clear()
    together = await at_once(counted, given)
    assert set(statements.names) <= {"create_jobs", "create_job"}
    assert statements.names.total() <= 2 * LANES
    rows = await stored(pool)
    await forget(pool)
    alone = [await post(http, one, number) for number, one in enumerate(given)]
    for ours, theirs in zip(together, alone, strict=True):
        assert ours.status_code == theirs.status_code == 201
        assert ours.headers["X-Request-ID"] == theirs.headers["X-Request-ID"]
        assert ours.headers["Location"] == f"/jobs/{ours.json()['id']}"
        assert ours.json() | {"id": None} == theirs.json() | {"id": None}
    assert rows == await stored(pool)


async def test_each_entry_of_the_audit_log_is_of_its_own_request(
    counted: httpx2.AsyncClient, pool: Pool
) -> None:
    answers = await at_once(counted, various())
    entries = await pool.fetch("SELECT resource_id, request_id FROM audit_pending")
    assert {(one["resource_id"], one["request_id"]) for one in entries} == {
        (answer.json()["id"], f"r-{number}") for number, answer in enumerate(answers)
    }


async def test_each_is_judged_by_the_rules_of_its_own_namespace(
    http: httpx2.AsyncClient, counted: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    spaces = [{"Scheduler-Namespace": name} for name in ("default", "other")]
    for space in spaces:
        assert (await counted.post("/jobs", json=body(), headers=space)).status_code == 201
    assert clock.ms is not None
    clock.ms += 5
    rules = {"egress": {"allow": ["*.example.org"], "deny": []}}
    assert (await http.put("/namespaces/other", json=rules)).is_success
    answers = await asyncio.gather(
        *(counted.post("/jobs", json=body(), headers=spaces[n % 2]) for n in range(8))
    )
    assert [answer.status_code for answer in answers] == [201, 422] * 4
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 2 + 4


async def test_who_waits_for_a_name_keeps_nobody_waiting(
    counted: httpx2.AsyncClient, pool: Pool
) -> None:
    """Another transaction has that name, and has not ended."""
    async with (
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as callers,
        transaction(pool, seconds=PATIENCE) as conn,
    ):
        await conn.execute(TAKEN)
        waits = callers.create_task(post(counted, body(name="a")))
        answers = await at_once(counted, [body() for _ in range(8)])
        assert {answer.status_code for answer in answers} == {201}
        assert not waits.done()
    assert waits.result().status_code == 409


async def test_one_that_can_not_be_written_keeps_no_other_from_it(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    await pool.execute("ALTER TABLE jobs ADD CONSTRAINT bad CHECK (description <> 'bad')")
    try:
        answers = await at_once(
            http, [body(description="bad" if n == 3 else "good") for n in range(8)]
        )
    finally:
        await pool.execute("ALTER TABLE jobs DROP CONSTRAINT bad")
    assert [answer.status_code for answer in answers] == [201] * 3 + [500] + [201] * 4
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 7


async def test_those_of_a_batch_make_a_herd_together(counted: httpx2.AsyncClient) -> None:
    given = [body(schedule={"cron": "0 12 * * *"}) for _ in range(HERD_MIN + 4)]
    answers = await at_once(counted, given[: HERD_MIN - 4]) + await at_once(counted, given[-8:])
    warned = [
        [warning["code"] for warning in answer.json()["warnings"]].count("herd")
        for answer in answers
    ]
    # The first hundred have fewer than a hundred beside them.
    assert sum(warned[:HERD_MIN]) == 0
    assert sum(warned) >= 1


async def test_replicas_are_woken_for_the_earliest(counted: httpx2.AsyncClient, dsn: str) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listening = asyncio.create_task(
        notices.listen(dsn, lambda *told: heard.put_nowait(told), application_name="test")
    )
    instants = ["2026-01-05T08:00:40Z", "2026-01-05T08:00:20Z", "2026-01-05T08:01:00Z"]
    try:
        assert await asyncio.wait_for(heard.get(), PATIENCE) == ("wake", "0")
        await post(counted, body())  # what holds is known from now on, and nobody is woken
        await at_once(counted, [body(schedule={"at": at}) for at in instants])
        told = set()
        while ("wake", str(MORNING_MS + 20_000)) not in told:
            told.add(await asyncio.wait_for(heard.get(), PATIENCE))
    finally:
        listening.cancel()
        await asyncio.wait([listening])
    assert len(told) <= LANES


async def test_what_is_unsure_is_said_in_time(
    http: httpx2.AsyncClient, deps: Deps, pool: Pool
) -> None:
    lent = structs.replace(deps, creates=JobCreates(pool, seconds=0.5))
    transport = httpx2.ASGITransport(build_app(lent))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as short:
        # What holds is known from now on; one with a name has all the time there is.
        assert (await post(short, body(name="a"))).status_code == 201
        async with transaction(pool, seconds=PATIENCE) as conn:
            await conn.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            answers = await at_once(short, [body() for _ in range(3)])
        assert {answer.status_code for answer in answers} == {503}
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 1


async def test_what_may_have_happened_is_not_done_again(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    """The connection breaks before the answer: who asked is told, and may ask again himself."""
    assert (await post(http, body())).status_code == 201
    async with (
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as callers,
        transaction(pool, seconds=PATIENCE) as conn,
    ):
        await conn.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        waits = callers.create_task(at_once(http, [body() for _ in range(3)]))
        while not await conn.fetchval(CUT):
            pass
    assert {answer.status_code for answer in waits.result()} == {503}
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 1
