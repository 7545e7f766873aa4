"""How long page 1,000 of a list takes beside page 1: jobs in every order, and history.

    python bench/paging.py [--jobs N] [--runs N] [--turns N]

One replica by the shipped command over an embedded PostgreSQL that holds so many jobs, and so many
runs in two days that are over. A page far in is asked for by the cursor that the page before it
would end with. Near and far are asked in turns, so that other work on the machine meets both; what
is printed are medians, and how many times as long the far one takes.
"""

import argparse
import asyncio
import json
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx2

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable
from bench._history import fill_day

from fleet import database, replica
from scheduler_svc.store.pool import Connection

PAGE = 1000
BINDING_BYTES = 8
"""What a cursor begins with: the digest of the list that it is of."""
DEFINITION = {
    "schedule": {"every": "1d", "anchor": "2026-01-01T00:00:00Z"},
    "target": {"url": "https://example.com/report"},
}
JOBS = """
    WITH made AS (
        INSERT INTO jobs (id, namespace, name, description, labels, definition, state, revision,
            created_at, updated_at)
        SELECT gen_random_uuid(), 'default', name, description, labels,
            ($2::jsonb || jsonb_build_object('name', name, 'description', description,
                'labels', labels))::json,
            'active', 1, now() - interval '1 day' + n * interval '1 millisecond', now()
        FROM generate_series(1, $1::integer) AS n,
            LATERAL (SELECT
                'job-' || lpad(n::text, 7, '0') AS name,
                CASE n % 2 WHEN 0 THEN 'the report of the night' ELSE 'nothing' END AS description,
                jsonb_build_object('env', CASE n % 2 WHEN 0 THEN 'prod' ELSE 'test' END,
                    'team', 'team-' || n % 1000) AS labels
            ) AS given
        RETURNING id, created_at
    )
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT id, at, at, 1 FROM made,
        LATERAL (SELECT created_at + interval '30 days') AS due (at)
"""
KEYS = {
    "created_at": "floor(extract(epoch FROM j.created_at) * 1000)::bigint",
    "next_fire_at": "floor(extract(epoch FROM t.fire_at) * 1000)::bigint",
    "name": "j.name",
}
COLUMNS = {"created_at": "j.created_at", "next_fire_at": "t.fire_at", "name": 'j.name COLLATE "C"'}
FILTERS: dict[str, tuple[dict[str, str], str]] = {
    "": ({}, "true"),
    "half by label": ({"label": "env:prod"}, """j.labels @> '{"env": "prod"}'"""),
    "half by q": ({"q": "report"}, "strpos(j.description, 'report') > 0"),
}


class List(NamedTuple):
    """A list, and where its far page begins: the key of the row before it."""

    title: str
    path: str
    asked: dict[str, str]
    before: dict[str, Any]


async def lists_of_jobs(conn: Connection, jobs: int, limit: int) -> list[List]:
    """Return the lists of jobs in every order and under every filter."""
    found = []
    for order in ("-created_at", "created_at", "name", "-name", "next_fire_at", "-next_fire_at"):
        column, way = order.removeprefix("-"), "DESC" if order.startswith("-") else "ASC"
        for title, (asked, condition) in FILTERS.items():
            depth = limit * (PAGE - 1) - 1
            if depth >= (jobs // 2 if title else jobs) - limit:
                continue
            row = await conn.fetchrow(
                f"SELECT {KEYS[column]} AS key, j.id FROM jobs AS j"
                f" JOIN job_timers AS t ON t.job_id = j.id WHERE {condition}"
                f" ORDER BY {COLUMNS[column]} {way}, j.id {way} OFFSET $1 LIMIT 1",
                depth,
                timeout=600,
            )
            assert row is not None
            shown = f"/jobs sort={order} limit={limit} {title}"
            query = {"sort": order, "limit": str(limit)} | asked
            found.append(List(shown, "/jobs", query, {"key": row["key"], "id": str(row["id"])}))
    return found


async def lists_of_runs(conn: Connection, runs: int, limit: int) -> list[List]:
    """Return the lists of runs: all, those that failed, those of one job."""
    job = await conn.fetchval("SELECT job_id FROM runs LIMIT 1")
    found = []
    for title, asked, condition, number in (
        ("all", {}, "true", runs),
        ("failed", {"status": "failed"}, "status = 'failed'", runs // 30),
        ("of one job", {"job_id": str(job)}, f"job_id = '{job}'", runs // 10_000),
    ):
        depth = min(limit * (PAGE - 1), number - 2 * limit) - 1
        if depth < limit:
            continue
        row = await conn.fetchrow(
            "SELECT floor(extract(epoch FROM scheduled_for) * 1000)::bigint AS at, id"
            f" FROM runs WHERE {condition} ORDER BY scheduled_for DESC, id DESC OFFSET $1 LIMIT 1",
            depth,
            timeout=600,
        )
        assert row is not None
        shown = f"/runs limit={limit} {title}, page {(depth + 1) // limit + 1:,}"
        before = {"scheduled_ms": row["at"], "id": str(row["id"])}
        found.append(List(shown, "/runs", {"limit": str(limit)} | asked, before))
    return found


def far(cursor: str, before: dict[str, Any]) -> str:
    """Make the cursor of another row of the same list."""
    payload = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    made = payload[:BINDING_BYTES] + json.dumps(before).encode()
    return urlsafe_b64encode(made).rstrip(b"=").decode()


async def compare(caller: httpx2.AsyncClient, one: List, turns: int) -> float:
    """Ask for both pages in turns; print and return how many times as long the far one takes."""

    async def read(cursor: str | None) -> tuple[float, Any]:
        asked = one.asked | ({} if cursor is None else {"cursor": cursor})
        began = time.perf_counter()
        answer = await caller.get(one.path, params=asked)
        seconds = time.perf_counter() - began
        answer.raise_for_status()
        return seconds, answer.json()

    _, first = await read(None)
    cursor = far(first["next_cursor"], one.before)
    assert len((await read(cursor))[1]["items"]) == int(one.asked["limit"])
    near, deep = [], []
    for _ in range(turns):
        near.append((await read(None))[0])
        deep.append((await read(cursor))[0])
    ratio = median(deep) / median(near)
    shown = f"{median(near) * 1000:6.1f} ms, far {median(deep) * 1000:6.1f} ms"
    print(f"{one.title:60} near {shown}: {ratio:.2f} times", flush=True)
    return ratio


async def run(ground: Ground, asked: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        async with database(dsn) as conn:
            await conn.execute(JOBS, asked.jobs, json.dumps(DEFINITION), timeout=1800)
            for name in ("jobs", "job_timers"):
                await conn.execute(f"VACUUM ANALYZE {name}", timeout=600)
            for ago in (61, 60) if asked.runs else ():
                day = datetime.now(UTC).date() - timedelta(days=ago)
                name = await fill_day(conn, day, runs=asked.runs // 2, logged=False)
                await conn.execute(f"VACUUM ANALYZE {name}", timeout=3600)
        one = await stack.enter_async_context(
            replica(dsn, retention="3650d", rate_reads="10000000")
        )
        async with database(dsn) as conn:
            lists = []
            for limit in (50, 500):
                lists += await lists_of_jobs(conn, asked.jobs, limit)
                lists += await lists_of_runs(conn, asked.runs, limit) if asked.runs else []
        async with httpx2.AsyncClient(base_url=one.url(""), timeout=60) as caller:
            ratios = [await compare(caller, each, asked.turns) for each in lists]
    print(f"{asked.jobs:,} jobs, {asked.runs:,} runs: at most {max(ratios):.2f} times")


def main() -> None:
    """Measure, and print."""
    given = argparse.ArgumentParser(description="pages near and far")
    given.add_argument("--jobs", type=int, default=1_000_000)
    given.add_argument("--runs", type=int, default=10_000_000)
    given.add_argument("--turns", type=int, default=15)
    asked = given.parse_args()
    with durable() as ground:
        asyncio.run(run(ground, asked))


if __name__ == "__main__":
    main()
