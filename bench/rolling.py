"""nginx before three replicas, each restarted in turn under load: what is lost, failed or late.

    python bench/rolling.py [--rate 2000] [--seconds 60] [--fires 20] [--writes 2] [--replicas 3]

Requests come at an even pace from a caller in C (bench/_caller.c) over kept connections: reads of
single jobs, and so many in a hundred that create one. Beside them jobs fall due at a sink. The
caller repeats no request. All of it shares this machine's processors, the database too, so figures
above what they carry say nothing of the service; `waited` counts requests that left late.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, used

from commands import COMMAND, Program, free_port, program
from fleet import all_ended, database, judged, schedule
from sealing import KEY_TEXT
from sink import sinking

HERE = Path(__file__).parent
DEPLOY = HERE.parent / "deploy"
KEY = "a-bootstrap-key-of-this-benchmark"
CONNECTIONS = 64
READ = 50
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@asynccontextmanager
async def one(dsn: str, port: int) -> AsyncIterator[Program]:
    """Run a replica as it is run behind a load balancer."""
    env = {
        "DATABASE_URL": dsn,
        "SCHEDULER_PORT": str(port),
        "SCHEDULER_PROFILE": "production",
        "SCHEDULER_BOOTSTRAP_KEY": KEY,
        "SCHEDULER_SECRET_KEYS": KEY_TEXT,
        "SCHEDULER_TRUSTED_PROXIES": "127.0.0.1/32",
        "SCHEDULER_LOG_LEVEL": "warning",
        "SCHEDULER_EGRESS_ALLOW": "127.0.0.0/8",
        "SCHEDULER_LINGER": "5s",
        # All of this is one caller, whom the defaults would hold back.
        "SCHEDULER_RATE_READS": "10000000",
        "SCHEDULER_RATE_WRITES": "10000000",
    }
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        yield running


def nginx(folder: Path, port: int, backends: list[int]) -> tuple[str, ...]:
    """Write the configuration of deploy/ with the addresses of this round; return the command."""
    text = (DEPLOY / "nginx" / "scheduler.conf").read_text()
    text = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    for number, backend in enumerate(backends, 1):
        text = text.replace(f"scheduler-{number}:8080", f"127.0.0.1:{backend}")
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;"
        f" events {{ worker_connections 1024; }} http {{ access_log off; {temporary}\n{text} }}"
    )
    assert NGINX is not None
    return (NGINX, "-p", str(folder), "-c", f"{folder}/nginx.conf", "-e", "stderr")


async def written(folder: Path, base: str, writes: int) -> Path:
    """Make the jobs that are read, and write the requests as they go over the wire."""
    head = f"Host: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
    job = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}
    body = json.dumps(job)
    made = []
    async with httpx2.AsyncClient(base_url=base) as http:
        for _ in range(READ):
            key = {"Authorization": f"Bearer {KEY}"}
            made.append((await http.post("/jobs", json=job, headers=key)).json()["id"])
    requests = [f"GET /jobs/{made[n % READ]} HTTP/1.1\r\n{head}\r\n" for n in range(100)]
    for number in range(writes):
        requests[number * 100 // writes] = (
            f"POST /jobs HTTP/1.1\r\n{head}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
    (folder / "requests").write_text(
        "".join(f"{len(request)}\n{request}" for request in requests), newline=""
    )
    return folder / "requests"


async def called(folder: Path, port: int, requests: Path, asked: argparse.Namespace) -> Any:
    """Call at the pace; return what the caller tells."""
    process = await asyncio.create_subprocess_exec(
        str(folder / "caller"),
        *(str(port), str(asked.rate), str(asked.seconds), str(CONNECTIONS), str(requests)),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    return json.loads(told)


async def restarted(
    dsn: str, ports: list[int], fleet: list[AsyncExitStack], running: list[Program], pause: float
) -> float:
    """Restart each in turn; return the longest that one was away."""
    longest = 0.0
    loop = asyncio.get_running_loop()
    for number, port in enumerate(ports):
        await asyncio.sleep(pause)
        began = loop.time()
        running[number].tell(signal.SIGTERM)
        code = await running[number].end()
        assert code == 0, (number, code, running[number].output)
        await fleet[number].aclose()
        running[number] = await fleet[number].enter_async_context(one(dsn, port))
        longest = max(longest, loop.time() - began)
    return longest


async def roll(ground: Ground, dsn: str, folder: Path, asked: argparse.Namespace) -> bool:
    """Do it once and print what came of it; tell whether nothing was lost or failed."""
    ports = [free_port() for _ in range(asked.replicas)]
    port = free_port()
    async with AsyncExitStack() as stack:
        sink = await stack.enter_async_context(sinking())
        ledger = await stack.enter_async_context(database(dsn))
        fleet = [AsyncExitStack() for _ in ports]
        running = []
        for each, at in zip(fleet, ports, strict=True):
            running.append(await each.enter_async_context(one(dsn, at)))
            stack.push_async_exit(each)
        balancer = await stack.enter_async_context(program(*nginx(folder, port, ports)))
        requests = await written(folder, f"http://127.0.0.1:{ports[0]}", asked.writes)
        jobs = int(asked.fires * asked.seconds)
        await schedule(ledger, sink.url(), jobs=jobs, begin_seconds=1, over_seconds=asked.seconds)
        before = ground.cpu_seconds(), used(balancer.pid), sum(used(each.pid) for each in running)
        async with asyncio.TaskGroup() as tasks:
            calls = tasks.create_task(called(folder, port, requests, asked))
            pause = asked.seconds / asked.replicas / 3
            if asked.still:
                restarts = None
            else:
                restarts = tasks.create_task(restarted(dsn, ports, fleet, running, pause))
        after = ground.cpu_seconds(), used(balancer.pid), sum(used(each.pid) for each in running)
        told = calls.result()
        await ledger.execute("DELETE FROM jobs WHERE definition -> 'schedule' ->> 'every' = '1h'")
        await all_ended(ledger, jobs=jobs, seconds=30)
        verdict = await judged(ledger, await sink.taken())
    print(json.dumps(told))
    spent = [
        (now - then) * 1e6 / (told["answered"] or 1)
        for now, then in zip(after, before, strict=True)
    ]
    parts = f"PostgreSQL {spent[0]:.0f} us, nginx {spent[1]:.0f} us"
    if restarts is None:  # of those that were restarted nobody can be asked any more
        parts += f", replicas {spent[2]:.0f} us"
    away = 0.0 if restarts is None else restarts.result()
    print(
        f"{told['answered'] / told['seconds']:,.0f} requests/s; {parts} of processor a request;"
        f" longest restart {away:.1f} s"
    )
    print(verdict)
    bad = [status for status in told["statuses"] if int(status) >= 400]
    lost = verdict.lost or verdict.doubled or verdict.failed or verdict.early
    return not (told["failed"] or bad or lost)


async def measure(ground: Ground, folder: Path, asked: argparse.Namespace) -> bool:
    """Run on a database of its own."""
    async with a_database(ground) as dsn:
        return await roll(ground, dsn, folder, asked)


def main() -> None:
    """Measure; leave with 1 where something was lost or failed."""
    given = argparse.ArgumentParser(description="a rolling restart under load")
    given.add_argument("--rate", type=int, default=2000, help="requests a second")
    given.add_argument("--seconds", type=float, default=60)
    given.add_argument("--fires", type=float, default=20, help="a second")
    given.add_argument("--writes", type=int, default=2, help="in a hundred requests")
    given.add_argument("--replicas", type=int, default=3)
    given.add_argument("--still", action="store_true", help="restart nothing")
    asked = given.parse_args()
    if NGINX is None:
        raise SystemExit("nginx is not installed")
    with durable() as ground, tempfile.TemporaryDirectory(prefix="rolling-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        source = str(HERE / "_caller.c")
        subprocess.run(["cc", "-O2", "-o", str(folder / "caller"), source], check=True)
        if not asyncio.run(measure(ground, folder, asked)):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
