"""What the API does a second: reading a job, creating one, paging through a million.

    python bench/api.py [--seconds S] [--rounds N] [--jobs N]

One replica by the shipped command, embedded PostgreSQL with fsync on, wrk as the caller (another
process, 16 connections). `plain` is the development profile without credentials; `guarded` sends an
API key and has rate limits. Prints requests a second and the processor time of the replica and of
PostgreSQL a request, which other work on the machine disturbs less.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import httpx2

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, used

from fleet import Replica, database, replica

BOOTSTRAP = "sk_" + "b" * 43
CONNECTIONS = 16
# Created at minutes of their own: a herd would be counted, and told of, at each create.
BODY = (
    '{"labels":{"team":"billing"},"schedule":{"cron":"0 9 * * MON","timezone":"Europe/Berlin"},'
    '"target":{"url":"https://example.com/report","headers":{"X-Kind":"bench"},"body":{"a":1}}}'
)
POST = """
local template = '%s'
local headers = { ["Content-Type"] = "application/json" }
function request()
    local at = math.random(0, 59) .. " " .. math.random(0, 23)
    return wrk.format("POST", nil, headers, (template:gsub("0 9", at)))
end
"""
MANY = """
    WITH made AS (
        INSERT INTO jobs (id, namespace, name, description, labels, definition, state, revision,
            created_at, updated_at)
        SELECT gen_random_uuid(), 'default', NULL, '', '{}', $2::json, 'active', 1,
            now() - interval '1 day' + n * interval '1 millisecond', now()
        FROM generate_series(1, $1::integer) AS n
        RETURNING id
    )
    INSERT INTO job_timers (job_id, scheduled_for, fire_at, revision)
    SELECT id, now() + interval '30 days', now() + interval '30 days', 1 FROM made
"""
PAGE, PAGES = 100, 1000


async def wrk(url: str, seconds: float, *, key: str | None, script: str | None) -> float:
    """Return the requests a second; raise where any was not a success."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"]
        if key is not None:
            command += ["-H", f"Authorization: Bearer {key}"]
        if script is not None:
            file.write(script)
            file.flush()
            command += ["-s", file.name]
        running = await asyncio.create_subprocess_exec(
            *command, url, stdout=asyncio.subprocess.PIPE
        )
        told = (await running.communicate())[0].decode()
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    return float(found[1])


async def measure(ground: Ground, one: Replica, asked: argparse.Namespace, key: str | None) -> None:
    """Measure reading and creating."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(base_url=one.url(""), headers=headers) as caller:
        made = await caller.post(
            "/jobs", content=BODY, headers={"Content-Type": "application/json"}
        )
        made.raise_for_status()
    title = "plain" if key is None else "guarded"
    for name, path, script in (
        ("GET /jobs/{id}", f"/jobs/{made.json()['id']}", None),
        ("POST /jobs", "/jobs", POST % BODY),
    ):
        await wrk(one.url(path), 1, key=key, script=script)
        figures = []
        for _ in range(asked.rounds):
            ours, theirs = used(one.program.pid), ground.cpu_seconds()
            rate = await wrk(one.url(path), asked.seconds, key=key, script=script)
            count = rate * asked.seconds / 1e6
            figures.append(
                (
                    rate,
                    (used(one.program.pid) - ours) / count,
                    (ground.cpu_seconds() - theirs) / count,
                )
            )
        rate, ours, theirs = map(median, zip(*figures, strict=True))
        print(
            f"{title:8} {name:15} {rate:7,.0f} /s   CPU a request: service {ours:4.0f},"
            f" PostgreSQL {theirs:4.0f} us",
            flush=True,
        )


async def paging(dsn: str, one: Replica, jobs: int) -> None:
    """Compare the first page of many jobs with the one a thousand pages in."""
    definition = (
        '{"schedule":{"every":"1d","anchor":"2026-01-01T00:00:00Z"},'
        '"target":{"url":"https://example.com/report"}}'
    )
    async with database(dsn) as conn:
        await conn.execute(MANY, jobs, definition, timeout=300)
        await conn.execute("VACUUM ANALYZE jobs")
        await conn.execute("VACUUM ANALYZE job_timers")
    async with httpx2.AsyncClient(base_url=one.url("")) as caller:

        async def read(cursor: str | None) -> tuple[float, str]:
            asked = {"limit": PAGE} | ({} if cursor is None else {"cursor": cursor})
            began = time.perf_counter()
            answer = await caller.get("/jobs", params=asked)
            seconds = time.perf_counter() - began
            return seconds, answer.json()["next_cursor"]

        cursors: list[str | None] = [None]
        for _ in range(PAGES):
            cursors.append((await read(cursors[-1]))[1])
        near, far = [], []
        for turn in range(40):  # in turns, so that noise meets both
            near.append((await read(cursors[turn % 5]))[0])
            far.append((await read(cursors[PAGES - turn % 5]))[0])
    print(
        f"GET /jobs?limit={PAGE} of {jobs:,}: page 1 {median(near) * 1000:.1f} ms,"
        f" page {PAGES:,} {median(far) * 1000:.1f} ms ({median(far) / median(near):.2f} times)"
    )


async def run(ground: Ground, asked: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        one = await stack.enter_async_context(
            replica(
                dsn,
                bootstrap_key=BOOTSTRAP,
                rate_reads="10000000",
                rate_writes="10000000",
            )
        )
        async with httpx2.AsyncClient(base_url=one.url("")) as caller:
            made = await caller.post(
                "/api-keys",
                json={"name": "bench", "scopes": ["jobs:read", "jobs:write"]},
                headers={"Authorization": f"Bearer {BOOTSTRAP}"},
            )
            made.raise_for_status()
        await measure(ground, one, asked, None)
        await measure(ground, one, asked, made.json()["key"])
        if asked.jobs:
            await paging(dsn, one, asked.jobs)


def main() -> None:
    """Measure, and print."""
    given = argparse.ArgumentParser(description="the API under load")
    given.add_argument("--seconds", type=float, default=5)
    given.add_argument("--rounds", type=int, default=3)
    given.add_argument("--jobs", type=int, default=1_000_000, help="to page through; 0 for none")
    asked = given.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk (Debian has it)")
    with durable() as ground:
        asyncio.run(run(ground, asked))


if __name__ == "__main__":
    main()
