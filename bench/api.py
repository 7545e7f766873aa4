"""What the API does a second: reading a job, creating one, with keys asked for and without.

    python bench/api.py [--seconds S] [--rounds N] [--only NAME]

One replica by the shipped command, embedded PostgreSQL with fsync on, wrk as the caller (16
connections). The replica has a core of its own; PostgreSQL and wrk share the next. `plain` is the
development profile without credentials; `guarded` sends an API key and has rate limits. Prints
requests a second, and the processor time of each part a request, which other work on the machine
disturbs less. What a request costs in things that can be counted is held by tests/api/budget.toml.
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

import httpx2
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, pinned, used

from fleet import Replica, replica

BOOTSTRAP = "sk_" + "b" * 43
CONNECTIONS = 16
MANY = 500
JSON = {"Content-Type": "application/json"}
# Created at minutes of their own: a herd would be counted, and told of, at each create.
BODY = (
    '{"labels":{"team":"billing"},"schedule":{"cron":"0 9 * * MON","timezone":"Europe/Berlin"},'
    '"target":{"url":"https://example.com/report","headers":{"X-Kind":"bench"},"body":{"a":1}}}'
)
GET = """
local ids = { %s }
function request()
    return wrk.format("GET", "/jobs/" .. ids[math.random(#ids)])
end
"""
POST = """
local template = '%s'
local headers = wrk.headers
headers["Content-Type"] = "application/json"
function request()
    local at = math.random(0, 59) .. " " .. math.random(0, 23)
    return wrk.format("POST", "/jobs", headers, (template:gsub("0 9", at)))
end
"""


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
        pinned(running.pid, 1)
        told = (await running.communicate())[0].decode()
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if found is None or "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(told)
    return float(found[1])


def spent(one: Replica, ground: Ground) -> tuple[float, float, float]:
    """Return the processor seconds so far: of the replica, of its share the system's, of both."""
    times = psutil.Process(one.program.pid).cpu_times()
    return used(one.program.pid), times.system, ground.cpu_seconds()


async def measure(
    ground: Ground, one: Replica, asked: argparse.Namespace, key: str | None, ids: list[str]
) -> None:
    """Measure reading and creating."""
    title = "plain" if key is None else "guarded"
    for name, script in (
        ("GET /jobs/{id}", GET % ", ".join(f'"{each}"' for each in ids)),
        ("POST /jobs", POST % BODY),
    ):
        if asked.only and asked.only not in f"{title} {name}":
            continue
        await wrk(one.url("/"), 2, key=key, script=script)
        figures = []
        for _ in range(asked.rounds):
            before = spent(one, ground)
            rate = await wrk(one.url("/"), asked.seconds, key=key, script=script)
            count = rate * asked.seconds / 1e6
            after = spent(one, ground)
            figures.append(
                (rate, *((now - then) / count for now, then in zip(after, before, strict=True)))
            )
        rates = sorted(figure[0] for figure in figures)
        rate, ours, system, theirs = map(median, zip(*figures, strict=True))
        print(
            f"{title:8} {name:15} {rate:7,.0f} /s ({rates[0]:,.0f} to {rates[-1]:,.0f})"
            f"   CPU a request: service {ours:4.0f} us ({system:.0f} of it in the system),"
            f" PostgreSQL {theirs:4.0f} us",
            flush=True,
        )


async def run(ground: Ground, asked: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        settings = {"rate_reads": "10000000", "rate_writes": "10000000"}
        one = await stack.enter_async_context(replica(dsn, bootstrap_key=BOOTSTRAP, **settings))
        pinned(one.program.pid, 0)
        pinned(ground.pid, 1)
        os.sched_setaffinity(0, {min(1, (os.cpu_count() or 1) - 1)})
        async with httpx2.AsyncClient(base_url=one.url("")) as caller:
            made = await caller.post(
                "/api-keys",
                json={"name": "bench", "scopes": ["jobs:read", "jobs:write"]},
                headers={"Authorization": f"Bearer {BOOTSTRAP}"},
            )
            made.raise_for_status()
            ids = []
            for turn in range(MANY):
                body = BODY.replace("0 9", f"{turn % 60} {turn // 60}")
                job = await caller.post("/jobs", content=body, headers=JSON)
                ids.append(job.json()["id"])
        await measure(ground, one, asked, None, ids)
        await measure(ground, one, asked, made.json()["key"], ids)


def main() -> None:
    """Measure, and print."""
    given = argparse.ArgumentParser(description="the API under load")
    given.add_argument("--seconds", type=float, default=5)
    given.add_argument("--rounds", type=int, default=5)
    given.add_argument("--only", help="such as `guarded GET`")
    asked = given.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this benchmark needs wrk (Debian has it)")
    with durable() as ground:
        asyncio.run(run(ground, asked))


if __name__ == "__main__":
    main()
