"""What asking for API keys costs: requests a second with keys and limits on, against without.

    python bench/keys.py [--requests N] [--rounds N] [--connections N]

The API on a socket with a database of its own, in this process; the caller is another one. It reads
a job again and again, the cheapest request that asks the database. Rounds alternate, so that a busy
machine disturbs both alike; the CPU of the service a request is what it disturbs least.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from scheduler_svc.api.app import build_app
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.limits import Limiter
from scheduler_svc.domain.limits import Policy
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import Pool, close_pool, open_pool
from serving import Clock, Records, lend, serving

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
JOB = {"name": "j", "schedule": {"every": "1h"}, "target": {"url": "https://example.com/"}}


async def call(port: int, key: str, requests: int, connections: int) -> None:
    """Be the caller: send so many requests over some connections, each after its answer."""
    head = f"GET /jobs/j HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(head.encode())
            got = await reader.readuntil(b"\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 200 "), got
            length = got.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
        writer.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(one(requests // connections))


async def one_round(pool: Pool, asked: argparse.Namespace, *, keys: bool) -> tuple[float, float]:
    """Serve one round; return requests a second and CPU seconds a request."""
    deps = lend(pool, Clock(), Records())
    if keys:
        gate = Gate(pool, Clock(), required=True, bootstrap_key=BOOTSTRAP)
        meter = Limiter(pool, [Policy("reads", 600_000)])
        deps = msgspec.structs.replace(deps, gate=gate, meter=meter)
    async with serving(build_app(deps)) as address:
        key = "none"
        if keys:
            async with httpx2.AsyncClient(base_url=address) as http:
                sent = {"name": "bench", "scopes": ["jobs:read"], "cidrs": ["127.0.0.0/8"]}
                root = {"Authorization": f"Bearer {BOOTSTRAP}"}
                key = (await http.post("/api-keys", json=sent, headers=root)).json()["key"]
        begun, spent = time.perf_counter(), time.process_time()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, __file__, "--port", address.rpartition(":")[2], "--key", key),
            *("--requests", str(asked.requests), "--connections", str(asked.connections)),
        )
        assert await process.wait() == 0
        seconds, cpu = time.perf_counter() - begun, time.process_time() - spent
    return asked.requests / seconds, cpu / asked.requests


async def measure(dsn: str, asked: argparse.Namespace) -> None:
    await migrate.migrate(dsn)
    pool = await open_pool(dsn, application_name="bench")
    async with (
        serving(build_app(lend(pool, Clock(), Records()))) as address,
        httpx2.AsyncClient(base_url=address) as http,
    ):
        assert (await http.post("/jobs", json=JOB)).status_code == 201
    seen: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for turn in range(asked.rounds):
        for keys in (False, True) if turn % 2 else (True, False):
            seen[keys].append(await one_round(pool, asked, keys=keys))
    print(f"{asked.rounds} rounds of {asked.requests} requests, {os.cpu_count()} cores; medians")
    rates = {keys: statistics.median(rate for rate, _ in rounds) for keys, rounds in seen.items()}
    cpu = {keys: statistics.median(spent for _, spent in rounds) for keys, rounds in seen.items()}
    for keys, what in ((False, "without keys"), (True, "with keys")):
        print(
            f"{what:<14} {rates[keys]:>7.0f} requests/s  CPU {cpu[keys] * 1e6:>6.1f} us a request"
        )
    rate, spent = rates[True] / rates[False], cpu[False] / cpu[True]
    print(f"with keys / without: throughput {rate:.1%}, by CPU {spent:.1%}")
    await close_pool(pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--key", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.port:
        uvloop.run(call(asked.port, asked.key, asked.requests, asked.connections))
        return
    with embedded.throw_away() as server:
        uvloop.run(measure(server.dsn, asked))


if __name__ == "__main__":
    main()
