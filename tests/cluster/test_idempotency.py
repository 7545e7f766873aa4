"""A replica killed in the middle of an idempotent create: a retry elsewhere makes one job."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from fleet import Replica, database, replica
from scheduler_svc.store.pool import Connection

KEYED = {"Idempotency-Key": "one-job"}
SENT = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:9/"}}
HELD_AT_COMMIT = """
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(7);
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON idempotency_keys
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold();
"""

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def ledger(dsn: str) -> AsyncIterator[Connection]:
    async with database(dsn) as conn:
        yield conn


@asynccontextmanager
async def two_replicas(dsn: str) -> AsyncIterator[tuple[Replica, Replica]]:
    """Run two replicas that only answer."""
    async with replica(dsn, role="api") as one, replica(dsn, role="api") as other:
        yield one, other


async def until_one_waits(conn: Connection) -> None:
    """Wait until a session of the service waits for a lock of ours."""
    asked = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name LIKE '%api' AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(20):
        while not await conn.fetchval(asked):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.01)


async def repeated(http: httpx2.AsyncClient, url: str) -> tuple[httpx2.Response, set[int]]:
    """Repeat the request until it is answered for good, as a client would."""
    seen: set[int] = set()
    async with asyncio.timeout(30):
        while True:
            answer = await http.post(url, json=SENT, headers=KEYED)
            seen.add(answer.status_code)
            if answer.status_code == 201:
                return answer, seen
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
            await asyncio.sleep(0.05)


async def ask_and_kill(victim: Replica, ledger: Connection, http: httpx2.AsyncClient) -> None:
    """Send the request to a replica that is killed while it waits for a lock of ours."""
    lost = asyncio.ensure_future(http.post(victim.url("/jobs"), json=SENT, headers=KEYED))
    await until_one_waits(ledger)
    victim.program.tell(signal.SIGKILL)
    with pytest.raises(httpx2.TransportError):
        await lost


async def test_killed_before_the_commit_there_is_neither_a_job_nor_an_answer(
    dsn: str, ledger: Connection
) -> None:
    async with two_replicas(dsn) as (victim, other), httpx2.AsyncClient(timeout=20) as http:
        work = ledger.transaction()
        await work.start()
        await ledger.execute("LOCK TABLE job_expectations")
        await ask_and_kill(victim, ledger, http)
        told = await http.post(other.url("/jobs"), json=SENT, headers=KEYED)
        assert told.status_code == 409, "its session has not ended yet"
        await work.rollback()
        answer, _ = await repeated(http, other.url("/jobs"))
    assert "idempotency-replayed" not in answer.headers
    assert await ledger.fetchval("SELECT count(*) FROM jobs") == 1


async def test_killed_between_the_effect_and_its_answer_there_is_neither(
    dsn: str, ledger: Connection
) -> None:
    async with two_replicas(dsn) as (victim, other), httpx2.AsyncClient(timeout=20) as http:
        work = ledger.transaction()
        await work.start()
        await ledger.execute("LOCK TABLE idempotency_keys IN SHARE MODE")
        await ask_and_kill(victim, ledger, http)
        await work.rollback()
        answer, _ = await repeated(http, other.url("/jobs"))
    assert "idempotency-replayed" not in answer.headers
    rows = await ledger.fetch("SELECT id FROM jobs")
    assert [str(row["id"]) for row in rows] == [answer.json()["id"]]


async def test_killed_in_the_commit_the_answer_is_there_for_who_asks_again(
    dsn: str, ledger: Connection
) -> None:
    await ledger.execute(HELD_AT_COMMIT)
    try:
        async with two_replicas(dsn) as (victim, other), httpx2.AsyncClient(timeout=20) as http:
            await ledger.execute("SELECT pg_advisory_lock(7)")
            await ask_and_kill(victim, ledger, http)
            await ledger.execute("SELECT pg_advisory_unlock(7)")
            answer, _ = await repeated(http, other.url("/jobs"))
    finally:
        await ledger.execute("DROP TRIGGER hold ON idempotency_keys; DROP FUNCTION hold()")
    assert answer.headers["idempotency-replayed"] == "true"
    rows = await ledger.fetch("SELECT id FROM jobs")
    assert [str(row["id"]) for row in rows] == [answer.json()["id"]]
