"""The dashboard over many jobs and runs: what its pages take, how live it is.

    python bench/dashboard.py [--jobs N] [--runs N] [--days N] [--keep FOLDER] [--fill-only]

Fills days of history up to now, starts one replica with its receiver, and asks for each page as a
browser does: the first time, when nothing is remembered, and many times after. Then it watches the
stream of events while jobs are triggered, and prints how long after a transition a watcher has it.
The promise is about --runs 10000000, which take eight minutes to fill. With --keep the database
stays in a folder: filled once, measured as often as one likes.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver
from bench._history import fill_day

from fleet import Replica, database, replica
from scheduler_svc.store import embedded, migrate, partitions
from scheduler_svc.store.pool import Connection

ROUNDS = 40
TRIGGERS = 60
HTML = {"Accept": "text/html"}
JOBS = """
    INSERT INTO jobs (id, namespace, name, description, labels, definition, state, pause, revision,
        created_at, updated_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'default', 'job-' || lpad(n::text, 6, '0'),
        'Calls the target of team ' || n % 40, l.labels,
        json_build_object('name', 'job-' || lpad(n::text, 6, '0'),
            'description', 'Calls the target of team ' || n % 40, 'labels', l.labels,
            'schedule', json_build_object('every', '1d'),
            'target', json_build_object('url', $2::text, 'body', json_build_object('n', n))),
        CASE WHEN n % 50 = 49 THEN 'paused' ELSE 'active' END,
        CASE WHEN n % 50 = 49 THEN json_build_object('reason', 'a test', 'since', now()) END,
        1, now() - n * interval '1 second' - interval '12 days', now()
    FROM generate_series(0, $1::integer - 1) AS n,
        LATERAL (SELECT jsonb_build_object('team', 't' || n % 40, 'env', 'prod') AS labels) AS l
"""
TIMERS = """
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT id, at, CASE WHEN state = 'active' THEN at END, 1
    FROM (
        SELECT id, state, date_trunc('milliseconds', now())
            + row_number() OVER (ORDER BY created_at DESC) * (interval '1 day' / $1::integer) AS at
        FROM jobs
    ) AS spread_out
"""


@contextlib.contextmanager
def ground_of(folder: Path | None) -> Iterator[Ground]:
    """Serve from a new folder, or from one that stays."""
    if folder is None:
        with durable() as ground:
            yield ground
        return
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    server = embedded.start(folder)
    try:
        yield Ground(server.dsn, server.pid)
    finally:
        server.stop()


@contextlib.asynccontextmanager
async def base_of(ground: Ground, *, kept: bool) -> AsyncIterator[str]:
    """Name the database: a round's own, or the one of the folder."""
    if kept:
        await migrate.migrate(ground.dsn)
        yield ground.dsn
        return
    async with a_database(ground) as dsn:
        yield dsn


async def fill(conn: Connection, url: str, asked: argparse.Namespace) -> None:
    """Make the jobs, and days of history whose last is not over."""
    begun = time.monotonic()
    await conn.execute(JOBS, asked.jobs, url, timeout=3600)
    today = datetime.now(UTC).date()
    for ago in range(asked.days - 1, -1, -1):
        day = today - timedelta(days=ago)
        if await conn.fetchval("SELECT to_regclass($1)", partitions.partition_name(day)):
            await conn.execute(f"DROP TABLE {partitions.partition_name(day)}")
        name = await fill_day(conn, day, runs=asked.runs // asked.days, jobs=asked.jobs)
        await conn.execute(f"DELETE FROM {name} WHERE scheduled_for > now()", timeout=3600)
        print(f"  {day}: {time.monotonic() - begun:.0f} s", flush=True)
    await conn.execute(TIMERS, asked.jobs, timeout=3600)
    await conn.execute("VACUUM ANALYZE jobs, job_timers, runs", timeout=3600)
    await conn.execute("CHECKPOINT", timeout=600)
    size = await conn.fetchval("SELECT pg_database_size(current_database())")
    print(f"filled in {time.monotonic() - begun:.0f} s, {size / 1e9:.1f} GB", flush=True)


async def pages(http: httpx2.AsyncClient) -> None:
    """Ask for each page: once when nothing is remembered, then again and again."""
    first = (await http.get("/jobs?limit=50")).json()
    job, cursor = first["items"][7]["id"], first["next_cursor"]
    print(f"{'page':42} {'first':>8} {'p50':>8} {'p95':>8} {'most':>8}  KiB")
    for path in (
        *("/ui", "/ui/ahead", "/ui", "/ui/jobs", f"/ui/jobs?cursor={cursor}"),
        *("/ui/jobs?sort=next_fire_at", "/ui/jobs?sort=name", "/ui/jobs?state=paused"),
        *("/ui/jobs?label=team:t7", "/ui/jobs?q=job-0042", "/ui/jobs?q=nothing-is-called-so"),
        *(f"/ui/jobs/{job}", "/ui/runs", "/ui/runs?status=failed", f"/ui/runs?job={job}"),
    ):
        took = []
        size = 0
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            answer = await http.get(path, headers=HTML, timeout=60)
            took.append((time.perf_counter() - begun) * 1000)
            assert answer.status_code == 200, (path, answer.status_code, answer.text[:400])
            size = len(answer.content)
        again = sorted(took[1:])
        shown = path if len(path) < 42 else path[:39] + "..."
        print(
            f"{shown:42} {took[0]:8.1f} {again[len(again) // 2]:8.1f}"
            f" {again[int(len(again) * 0.95)]:8.1f} {again[-1]:8.1f}  {size / 1024:.0f}",
            flush=True,
        )


async def live(one: Replica, http: httpx2.AsyncClient, url: str) -> None:
    """Watch while jobs are triggered; say how long after a transition a watcher has it."""
    # A key of their own: what a dead target of other jobs does to its host does nothing to them.
    made = {
        "schedule": {"every": "1d"},
        "target": {"url": url, "concurrency_key": "live"},
    }
    listed = [(await http.post("/jobs", json=made)).json() for _ in range(TRIGGERS)]
    delays: list[float] = []
    ready = asyncio.Event()

    async def watch() -> None:
        wanted = {job["id"] for job in listed}
        ended = 0
        async with (
            httpx2.AsyncClient(base_url=one.url(""), timeout=60) as watcher,
            watcher.stream("GET", "/events") as stream,
        ):
            async for line in stream.aiter_lines():
                if line.startswith(":"):
                    ready.set()
                if not line.startswith("data:"):
                    continue
                told = json.loads(line[5:])
                if told.get("job_id") in wanted:
                    at = datetime.fromisoformat(told["at"])
                    delays.append((datetime.now(UTC) - at).total_seconds() * 1000)
                    ended += told["status"] in {"succeeded", "failed"}
                    if ended == len(listed):
                        return

    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        await ready.wait()
        for job in listed:
            answer = await http.post(f"/jobs/{job['id']}/trigger")
            assert answer.status_code == 202, answer.text
            await asyncio.sleep(0.1)
    for job in listed:
        await http.delete(f"/jobs/{job['id']}")
    delays.sort()
    print(
        f"live: {len(delays)} transitions, a watcher has one after p50"
        f" {delays[len(delays) // 2]:.0f} ms, p95 {delays[int(len(delays) * 0.95)]:.0f} ms,"
        f" most {delays[-1]:.0f} ms",
        flush=True,
    )


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    """Fill, unless that was done, then measure."""
    async with base_of(ground, kept=asked.keep is not None) as dsn:
        async with database(dsn) as conn:
            if not await conn.fetchval("SELECT EXISTS (SELECT FROM jobs)"):
                await fill(conn, url, asked)
        if asked.fill_only:
            return
        async with replica(dsn) as one, httpx2.AsyncClient(base_url=one.url("")) as http:
            await pages(http)
            await live(one, http, url)


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="pages of the dashboard at size")
    given.add_argument("--jobs", type=int, default=100_000)
    given.add_argument("--runs", type=int, default=1_000_000)
    given.add_argument("--days", type=int, default=10)
    given.add_argument("--keep", type=Path)
    given.add_argument("--fill-only", action="store_true")
    asked = given.parse_args()
    print(f"{asked.jobs:,} jobs, {asked.runs:,} runs of {asked.days} days", flush=True)
    with ground_of(asked.keep) as ground, receiver() as url:
        asyncio.run(measure(ground, url, asked))


if __name__ == "__main__":
    main()
