"""Lists and history are read from a standby that has caught up, and from the primary otherwise.

One pair of servers for all: each test leaves it as it found it.
"""

from collections.abc import AsyncIterator

import httpx2
import pytest

from factories import body
from fleet import Replica, replica
from scheduler_svc.store import migrate
from scheduler_svc.store.hosts import Hosts
from standby import Pair, pair

pytestmark = pytest.mark.timeout(180)
READERS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'scheduler-svc reads'"


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[Pair]:
    async with pair() as both:
        await migrate.migrate(both.primary.dsn)
        yield both


@pytest.fixture
async def fleet(servers: Pair) -> AsyncIterator[list[Replica]]:
    await servers.primary.run("TRUNCATE jobs CASCADE")
    settings = {"read_database_url": servers.standby.dsn, "read_wait": "2s"}
    dsn = servers.primary.dsn
    async with (
        replica(dsn, **settings, log_level="info") as one,
        replica(dsn, **settings, log_level="info") as other,
    ):
        yield [one, other]


async def test_a_caller_reads_what_was_written_a_moment_ago_at_another_replica(
    fleet: list[Replica], servers: Pair
) -> None:
    one, other = fleet
    async with httpx2.AsyncClient() as http:
        for number in range(30):
            made = await http.post(one.url("/jobs"), json=body(name=f"j{number}"))
            assert made.status_code == 201
            page = (await http.get(other.url("/jobs?limit=1"))).json()
            assert page["items"][0]["name"] == f"j{number}"
            run = (await http.post(one.url(f"/jobs/j{number}/trigger"))).json()
            history = (await http.get(other.url(f"/jobs/j{number}/runs"))).json()
            assert [item["id"] for item in history["items"]] == [run["id"]]
    # It was the standby that answered: nobody else reads from it, and it was never given up.
    assert await servers.standby.run(READERS) == 1
    assert "standby.away" not in other.program.output


async def test_a_standby_that_does_not_catch_up_is_not_waited_for_long(
    fleet: list[Replica], servers: Pair
) -> None:
    await servers.standby.run("SELECT pg_wal_replay_pause()")
    try:
        async with httpx2.AsyncClient() as http:
            await http.post(fleet[0].url("/jobs"), json=body(name="new"))
            page = (await http.get(fleet[1].url("/jobs"), timeout=10)).json()
            assert [item["name"] for item in page["items"]] == ["new"]
    finally:
        await servers.standby.run("SELECT pg_wal_replay_resume()")


async def test_a_standby_that_goes_away_is_not_missed_and_is_read_again_when_it_is_back(
    fleet: list[Replica], servers: Pair
) -> None:
    async with httpx2.AsyncClient(base_url=fleet[0].url(""), timeout=15) as http:
        await http.post("/jobs", json=body(name="a"))
        assert (await http.get("/jobs")).status_code == 200
        servers.standby.stop()
        try:
            for _ in range(3):
                answer = await http.get("/jobs")
                assert [item["name"] for item in answer.json()["items"]] == ["a"]
            await fleet[0].program.line("standby.away")
        finally:
            await servers.standby.start()
        while "standby.back" not in fleet[0].program.output:
            assert (await http.get("/jobs")).status_code == 200


async def test_what_is_no_standby_of_ours_is_never_read(servers: Pair) -> None:
    settings = {"read_database_url": servers.primary.dsn, "log_level": "info"}
    async with (
        replica(servers.primary.dsn, **settings) as one,
        httpx2.AsyncClient(base_url=one.url("")) as http,
    ):
        assert (await http.get("/jobs")).status_code == 200
        await one.program.line("it is no standby")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_preferred_standby_is_found_wherever_it_is_named(
    servers: Pair, order: tuple[int, int]
) -> None:
    folders = ",".join(str(servers[which].folder) for which in order)
    there = f"postgresql://postgres@/postgres?host={folders}&port=5432"
    opened = await Hosts(f"{there}&target_session_attrs=prefer-standby").connect(timeout=10)
    assert await opened.fetchval("SELECT pg_is_in_recovery()") is True
    await opened.close()
    alone = f"{there}&target_session_attrs=prefer-standby".replace(
        str(servers.standby.folder), "/nowhere"
    )
    opened = await Hosts(alone).connect(timeout=10)
    assert await opened.fetchval("SELECT pg_is_in_recovery()") is False
    await opened.close()
