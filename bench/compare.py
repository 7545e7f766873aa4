"""A burst by this service and by its peers, in turns on one server: calls a second, and CPU a call.

    python bench/compare.py [--jobs N] [--rounds N] [--peers NAME ...] [--json FILE] [--ours-only]

`make bench ARGS=--compare` is the same. Peers are installed into bench/results/peers, which Git
does not see, from PyPI and, where npm is there, from its registry, with the Node that they ask for;
they run as their documentation advises for speed: the settings are in bench/peers. For all of them
N jobs are kept in PostgreSQL and each is one POST of 200 bytes when due. Most keep less a call than
this service does: no schedule to advance, no history.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import venv
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver, used
from bench.burst import WARM, burst

from fleet import database, replica

PEERS = {
    "apscheduler": ("apscheduler>=3.11,<4", "sqlalchemy", "psycopg[binary]"),
    "pgqueuer": ("pgqueuer[asyncpg]>=1.6,<2",),
    "procrastinate": ("procrastinate>=3.10,<4",),
}
ON_NODE = {"pg-boss": "pg-boss@12", "graphile-worker": "graphile-worker@0.18"}
NODE = "node@22"
SHARED = ("aiohttp", "uvloop")
FOLDER = Path(__file__).parent
WHERE = FOLDER / "results" / "peers"
WHERE_NODE = FOLDER / "results" / "peers-on-node"
SECONDS = 400.0
Figures = dict[str, float]


def installed(peers: list[str]) -> Path:
    """Return a Python that has the peers; one environment holds all of them."""
    python = WHERE / "bin" / "python"
    if not python.exists():
        venv.create(WHERE, with_pip=True)
    wanted = [*SHARED, *(one for peer in peers for one in PEERS[peer])]
    command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
    subprocess.run(command, check=True)
    return python


def installed_on_node(peers: list[str]) -> None:
    """Install what runs on Node, and a Node that is new enough."""
    WHERE_NODE.mkdir(parents=True, exist_ok=True)
    (WHERE_NODE / "package.json").write_text('{"private": true}\n')
    wanted = [NODE, *(ON_NODE[peer] for peer in peers)]
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", *wanted]
    subprocess.run(command, check=True, cwd=WHERE_NODE)


def command_of(peer: str, python: Path) -> tuple[str, ...]:
    """Return what runs a peer."""
    if peer in ON_NODE:
        node = WHERE_NODE / "node_modules" / ".bin" / "node"
        return str(node), str(FOLDER / "peers" / f"with_{peer}.mjs")
    return str(python), str(FOLDER / "peers" / f"with_{peer}.py")


def versions_on_node(peers: list[str]) -> dict[str, str]:
    """Return the versions of what runs on Node."""
    found = {}
    for name in ("node", *peers) if peers else ():
        manifest = WHERE_NODE / "node_modules" / name / "package.json"
        found[name] = str(json.loads(manifest.read_text())["version"])
    return found


def versions(python: Path, peers: list[str]) -> dict[str, str]:
    """Return the versions of what is compared."""
    names = [*SHARED, *peers]
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    told = subprocess.run(
        [str(python), "-c", code, *names], check=True, capture_output=True, text=True
    )
    return dict(zip(names, told.stdout.split(), strict=True))


async def ours(ground: Ground, url: str, jobs: int) -> Figures:
    """Have one replica fire the burst."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        one = await stack.enter_async_context(replica(dsn))
        await burst(ground, conn, [one], url, WARM)
        came = await burst(ground, conn, [one], url, jobs)
    return {
        "calls_per_second": came.calls_per_second,
        "p50_ms": came.p50_ms,
        "p99_ms": came.p99_ms,
        "own_us": came.ours_us,
        "postgresql_us": came.server_us,
    }


async def theirs(ground: Ground, python: Path, peer: str, url: str, jobs: int) -> Figures:
    """Have a peer fire the burst."""
    async with a_database(ground) as dsn:
        running = await asyncio.create_subprocess_exec(
            *(*command_of(peer, python), dsn, url, str(jobs)),
            stdout=asyncio.subprocess.PIPE,
            cwd=WHERE_NODE if peer in ON_NODE else None,
        )
        assert running.stdout is not None
        async with asyncio.timeout(SECONDS):
            if await running.stdout.readline() != b"ready\n":
                raise SystemExit(f"{peer} did not come up")
            own, server = used(running.pid), ground.cpu_seconds()
            told = json.loads(await running.stdout.readline())
            own, server = used(running.pid) - own, ground.cpu_seconds() - server
            await running.wait()
    if told["calls"] != jobs or told["least_ms"] < 0:
        print(f"    not clean: {told}")
    return {
        "calls_per_second": jobs / told["seconds"],
        "p50_ms": told["p50_ms"],
        "p99_ms": told["p99_ms"],
        "own_us": own * 1e6 / jobs,
        "postgresql_us": server * 1e6 / jobs,
    }


def summed_up(rounds: list[Figures]) -> Figures:
    """Return the medians, the spread of the rate, and the calls a second of processor time."""
    middle = {name: median(one[name] for one in rounds) for name in rounds[0]}
    rates = [one["calls_per_second"] for one in rounds]
    return middle | {
        "calls_per_second_least": min(rates),
        "calls_per_second_most": max(rates),
        "calls_per_cpu_second": 1e6 / (middle["own_us"] + middle["postgresql_us"]),
    }


async def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """Let each fire in turn, round after round."""
    peers = [] if asked.ours_only else asked.peers
    on_node = [peer for peer in peers if peer in ON_NODE]
    here = [peer for peer in peers if peer in PEERS]
    python = installed(here) if here else Path(sys.executable)
    if on_node:
        installed_on_node(on_node)
    rounds: dict[str, list[Figures]] = {name: [] for name in ("scheduler-svc", *peers)}
    with durable() as ground, receiver() as url:
        for _ in range(asked.rounds):
            rounds["scheduler-svc"].append(await ours(ground, url, asked.jobs))
            for peer in peers:
                rounds[peer].append(await theirs(ground, python, peer, url, asked.jobs))
    return {
        "jobs": asked.jobs,
        "rounds": asked.rounds,
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "python": platform.python_version(),
        "versions": (versions(python, here) if here else {}) | versions_on_node(on_node),
        "figures": {name: summed_up(figures) for name, figures in rounds.items()},
        "each": rounds,
    }


def table(found: dict[str, Any]) -> str:
    """Write the figures as a table, with how many times the peer each of ours is."""
    base = found["figures"]["scheduler-svc"]
    lines = [
        "| | calls/s | p50 / p99 late | own CPU a call | PostgreSQL's | per CPU-second | ours is |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found["figures"].items():
        times = base["calls_per_second"] / one["calls_per_second"]
        spread = f"{one['calls_per_second_least']:,.0f}-{one['calls_per_second_most']:,.0f}"
        lines.append(
            f"| {name} | {one['calls_per_second']:,.0f} ({spread})"
            f" | {one['p50_ms']:,.0f} / {one['p99_ms']:,.0f} ms | {one['own_us']:,.0f} us"
            f" | {one['postgresql_us']:,.0f} us | {one['calls_per_cpu_second']:,.0f}"
            f" | {times:.1f} times |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the JSON."""
    given = argparse.ArgumentParser(description="a burst beside the peers")
    given.add_argument("--jobs", type=int, default=10_000)
    given.add_argument("--rounds", type=int, default=5)
    every = [*PEERS, *ON_NODE]
    default = every if shutil.which("npm") else list(PEERS)
    given.add_argument("--peers", nargs="*", choices=every, default=default)
    given.add_argument("--ours-only", action="store_true")
    given.add_argument("--json", type=Path, default=FOLDER / "results" / "compare.json")
    asked = given.parse_args()
    found = asyncio.run(measure(asked))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found))
    print(f"written to {asked.json}")


if __name__ == "__main__":
    main()
