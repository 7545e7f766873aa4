"""GET /jobs: every order pages without gap or repeat, every filter means what it says."""

import re
from typing import Any
from uuid import UUID

import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, create
from scheduler_svc.store.job_lists import JobFilter, JobOrder, Place, list_jobs
from scheduler_svc.store.pool import Pool, transaction

HOUR_MS = 3_600_000


@pytest.fixture
async def seven(http: httpx2.AsyncClient, clock: Clock) -> list[str]:
    """Seven jobs, made a second apart; two without a name, one paused, one completed."""
    made = []
    rows: list[dict[str, Any]] = [
        {"name": "b", "schedule": {"every": "3h"}},
        {"name": "a", "schedule": {"every": "1h"}, "labels": {"team": "x", "tier": "1"}},
        {"schedule": {"every": "2h"}, "labels": {"team": "x"}},
        {"name": "c.paused", "schedule": {"every": "1h"}, "labels": {"team": "y"}},
        {"name": "d.done", "schedule": {"cron": "0 * * * *", "end": "2026-01-05T00:00:00Z"}},
        {"schedule": {"every": "1h"}, "description": "100% of a_b"},
        {"name": "e", "schedule": {"every": "30m"}, "description": "a-b"},
    ]
    for second, row in enumerate(rows):
        clock.ms = MORNING_MS + second * 1000
        made.append((await create(http, **row))["id"])
    await http.post("/jobs/c.paused/pause")
    return made


async def pages(http: httpx2.AsyncClient, query: str, limit: int) -> list[list[Json]]:
    """Follow next_cursor to the end."""
    found, cursor = [], ""
    while True:
        answer = await http.get(f"/jobs?{query}&limit={limit}{cursor}")
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        following = answer.json()["next_cursor"]
        if following is None:
            assert "Link" not in answer.headers
            return found
        cursor = f"&cursor={following}"


ORDERS = {
    "": [6, 5, 4, 3, 2, 1, 0],
    "sort=-created_at": [6, 5, 4, 3, 2, 1, 0],
    "sort=created_at": [0, 1, 2, 3, 4, 5, 6],
    "sort=name": [1, 0, 3, 4, 6, 2, 5],
    "sort=-name": [6, 4, 3, 0, 1, 5, 2],
    "sort=next_fire_at": [6, 1, 5, 2, 0, 3, 4],
    "sort=-next_fire_at": [0, 2, 5, 1, 6, 4, 3],
}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 500])
@pytest.mark.parametrize("order", ORDERS)
async def test_each_order_pages_without_gap_or_repeat_and_what_has_no_value_comes_last(
    http: httpx2.AsyncClient, seven: list[str], order: str, limit: int
) -> None:
    found = await pages(http, order, limit)
    assert all(len(page) == limit for page in found[:-1])
    assert 0 < len(found[-1]) <= limit
    listed = [job["id"] for page in found for job in page]
    assert listed == [seven[index] for index in ORDERS[order]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=active", [6, 5, 2, 1, 0]),
        ("state=paused", [3]),
        ("state=completed", [4]),
        ("label=team:x", [2, 1]),
        ("label=team:x&label=tier:1", [1]),
        ("label=team:z", []),
        ("label=team:x&state=paused", []),
        ("name_prefix=c.", [3]),
        ("name_prefix=d.done", [4]),
        ("name_prefix=zz", []),
        ("q=100%25", [5]),
        ("q=a_b", [5]),
        ("q=a-b", [6]),
        ("q=one", [4]),
        ("q=done&state=completed", [4]),
    ],
)
@pytest.mark.parametrize("order", ["-created_at", "created_at", "name", "-next_fire_at"])
async def test_filters_narrow_the_list_and_all_must_hold(
    http: httpx2.AsyncClient, seven: list[str], query: str, expected: list[int], order: str
) -> None:
    listed = [job["id"] for page in await pages(http, f"{query}&sort={order}", 2) for job in page]
    assert sorted(listed) == sorted(seven[index] for index in expected)
    if order == "-created_at":
        assert listed == [seven[index] for index in expected]


async def test_the_link_header_leads_to_the_next_page_with_the_same_filters(
    http: httpx2.AsyncClient, seven: list[str]
) -> None:
    first = await http.get("/jobs?label=team:x&label=tier:1&limit=1&sort=created_at")
    assert "Link" not in first.headers
    first = await http.get("/jobs?label=team:x&limit=1&sort=created_at")
    link = re.fullmatch(r'<(/jobs\?.*)>; rel="next"', first.headers["Link"])
    assert link is not None
    second = await http.get(link[1])
    assert [job["id"] for job in second.json()["items"]] == [seven[2]]
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize(
    "changed", ["sort=name", "state=active", "label=team:x", "q=a", "name_prefix=a"]
)
async def test_a_cursor_of_another_list_is_refused(
    http: httpx2.AsyncClient, seven: list[str], changed: str
) -> None:
    cursor = (await http.get("/jobs?limit=1")).json()["next_cursor"]
    assert (await http.get(f"/jobs?limit=3&cursor={cursor}")).status_code == 200
    answer = await http.get(f"/jobs?{changed}&cursor={cursor}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "cursor"
    assert (await http.get(f"/runs?cursor={cursor}")).status_code == 422


async def test_a_page_does_not_shift_when_jobs_are_made_or_deleted_meanwhile(
    http: httpx2.AsyncClient, seven: list[str], clock: Clock
) -> None:
    first = (await http.get("/jobs?limit=3")).json()
    clock.ms = MORNING_MS + HOUR_MS
    await create(http, name="newer")
    await http.delete(f"/jobs/{first['items'][2]['id']}")
    second = (await http.get(f"/jobs?limit=10&cursor={first['next_cursor']}")).json()
    assert [job["id"] for job in second["items"]] == [seven[index] for index in (3, 2, 1, 0)]


async def test_listed_jobs_look_as_they_do_alone(
    http: httpx2.AsyncClient, seven: list[str]
) -> None:
    await http.post("/jobs/a/trigger")
    for job in (await http.get("/jobs")).json()["items"]:
        assert (await http.get(f"/jobs/{job['id']}")).json() == job


async def _many_jobs(pool: Pool, count: int) -> None:
    await pool.execute(
        """
        WITH made AS (
            INSERT INTO jobs (id, namespace, name, description, labels, definition, state, pause,
                              revision, created_at, updated_at)
            SELECT gen_random_uuid(), 'default', 'job-' || n, '',
                   jsonb_build_object('common', 'yes', 'own', n::text)
                   || CASE WHEN n = 17 THEN '{"rare": "yes"}' ELSE '{}' END::jsonb,
                   '{"schedule":{"every":"1h"},"target":{"url":"http://127.0.0.1:9/"}}',
                   CASE WHEN n % 5000 = 1 THEN 'completed' ELSE 'active' END, NULL, 1,
                   to_timestamp(1.7e9 + n), to_timestamp(1.7e9 + n)
            FROM generate_series(1, $1::integer) AS n
            RETURNING id, state, created_at
        )
        INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
        SELECT id, CASE state WHEN 'active' THEN created_at END,
               CASE state WHEN 'active' THEN created_at END, 1
        FROM made
        """,
        count,
    )
    await pool.execute("ANALYZE jobs")
    await pool.execute("ANALYZE job_timers")


@pytest.mark.parametrize(
    "wanted",
    [
        JobFilter(namespace="default"),
        JobFilter(namespace="default", state="completed"),
        JobFilter(namespace="default", state="active"),
        JobFilter(namespace="default", labels={"rare": "yes"}),
        JobFilter(namespace="default", labels={"common": "yes"}),
        JobFilter(namespace="default", name_prefix="job-177"),
    ],
    ids=["all", "completed", "active", "rare label", "common label", "prefix"],
)
async def test_no_order_and_no_filter_reads_the_whole_table_for_a_page(
    pool: Pool, wanted: JobFilter
) -> None:
    await _many_jobs(pool, 20_000)
    for order in ("-created_at", "created_at", "name", "-name", "next_fire_at", "-next_fire_at"):
        async with transaction(pool) as conn:
            for _ in range(7):  # enough for a plan that serves any parameters, were it allowed
                await list_jobs(conn, wanted, order, after=None, at_most=20)
            await conn.execute("SELECT pg_stat_clear_snapshot()")
            before = await _reads(conn)
            await list_jobs(conn, wanted, order, after=None, at_most=20)
            after = await _reads(conn)
        assert after["whole"] == before["whole"], order
        assert after["rows"] - before["rows"] < 8_000, order


@pytest.mark.parametrize("order", ["next_fire_at", "-next_fire_at"])
async def test_the_end_of_a_list_by_next_fire_reads_only_those_that_fire_no_more(
    pool: Pool, order: JobOrder
) -> None:
    await _many_jobs(pool, 20_000)
    wanted = JobFilter(namespace="default", labels={"common": "yes"})
    edge = Place(None, UUID(int=0) if order == "next_fire_at" else UUID(int=2**128 - 1))
    async with transaction(pool) as conn:
        before = await _reads(conn)
        found = await list_jobs(conn, wanted, order, after=edge, at_most=20)
        after = await _reads(conn)
    assert [job.state for job in found] == ["completed"] * 4
    assert after["whole"] == before["whole"]
    assert after["rows"] - before["rows"] < 100


async def _reads(conn: Any) -> dict[str, int]:
    """Whole reads of a table, and rows fetched through indexes, by this transaction so far."""
    row = await conn.fetchrow(
        """
        SELECT sum(pg_stat_get_xact_numscans(c.oid)) FILTER (WHERE c.relkind = 'r') AS whole,
               sum(pg_stat_get_xact_tuples_fetched(c.oid)) FILTER (WHERE c.relkind = 'r') AS rows
        FROM pg_class AS c WHERE c.relname IN ('jobs', 'job_timers')
        """
    )
    return {"whole": row["whole"] or 0, "rows": row["rows"] or 0}
