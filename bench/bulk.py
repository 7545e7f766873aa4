"""Creating ten thousand jobs in one request: jobs a second, and how long the loop stood still.

    python bench/bulk.py [--jobs N] [--rounds N] [--distinct] [--size BYTES]

The API in development profile, in this process, so that its loop can be watched: a task
beside it sleeps a millisecond at a time and notes how late it wakes. PostgreSQL is the embedded one
and durable, as by default. `--distinct` gives each job a schedule of its own, `--size` pads each
job. The CPU of each side a job is the figure that other work on the machine disturbs least.
"""

import argparse
import asyncio
import http.client
import os
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from scheduler_svc.api.app import build_app
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import close_pool, open_pool
from serving import Clock, Records, lend, serving

ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Asia/Tokyo", "Europe/London")


def job(number: int, turn: int, asked: argparse.Namespace) -> dict[str, object]:
    """Make a job as people have them: a name, a label, a cron in a zone, a URL of its own."""
    spread = number if asked.distinct else number % 1440
    minute, hour, day = spread % 60, spread // 60 % 24, spread // 1440
    return {
        "name": f"job-{turn}-{number}",
        "labels": {"team": f"team-{number % 50}"},
        "schedule": {
            "cron": f"{minute} {hour} {f'*/{day + 1}' if day else '*'} * *",
            "timezone": ZONES[number % len(ZONES)] if asked.distinct else ZONES[0],
        },
        "target": {
            "url": f"https://example.com/hooks/{number}",
            "headers": {"X-Kind": "bulk"},
            "body": {"number": number, "pad": "x" * asked.size},
        },
    }


class Watch:
    """The longest times for which the loop did not come round."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def run(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.001)
            self.worst = max(self.worst, time.perf_counter() - begun - 0.001)


def spent(server: int) -> tuple[float, float]:
    """Return the CPU seconds of this process and of the living processes of the server so far."""
    theirs = 0.0
    for process in psutil.Process(server).children(recursive=True):
        used = process.cpu_times()
        theirs += used.user + used.system
    return time.process_time(), theirs


def ask(address: str, body: bytes) -> tuple[float, int, bytes]:
    """Send a request from a thread of its own, with bytes made before."""
    parts = urlsplit(address)
    caller = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    caller.connect()
    begun = time.perf_counter()
    caller.request("POST", "/jobs/bulk", body, {"Content-Type": "application/json"})
    answer = caller.getresponse()
    read = answer.read()
    return time.perf_counter() - begun, answer.status, read


async def measure(dsn: str, server: int, asked: argparse.Namespace) -> None:
    pool = await open_pool(dsn, application_name="bench")
    deps = lend(pool, Clock(), Records())
    bodies = [
        msgspec.json.encode({"jobs": [job(n, turn, asked) for n in range(asked.jobs)]})
        for turn in range(asked.rounds)
    ]
    print(f"{asked.jobs} jobs, {len(bodies[0]) / 1024**2:.1f} MiB, {os.cpu_count()} cores")
    async with serving(build_app(deps)) as address:
        for body in bodies:
            watch, before = Watch(), spent(server)
            async with asyncio.TaskGroup() as both:
                watching = both.create_task(watch.run())
                seconds, status, read = await asyncio.to_thread(ask, address, body)
                watching.cancel()
            assert status == 201, read[:500]
            ours, theirs = (
                (now - then) / asked.jobs * 1e6
                for now, then in zip(spent(server), before, strict=True)
            )
            print(
                f"{asked.jobs / seconds:>8.0f} jobs/s  {seconds * 1000:>6.0f} ms"
                f"  loop stood still {watch.worst * 1000:>5.1f} ms at most"
                f"  CPU a job: service {ours:.1f}, PostgreSQL {theirs:.1f} us"
            )
    await close_pool(pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--distinct", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bulk-bench-") as folder:
        Path(folder).chmod(0o711)  # passable, for under root the server is another account
        server = embedded.start(Path(folder) / "postgres")
        try:
            asyncio.run(migrate.migrate(server.dsn))
            uvloop.run(measure(server.dsn, server.pid, asked))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
