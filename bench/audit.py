"""What the audit log costs: CPU of a create and of a bulk create, with entries and without.

    python bench/audit.py [--blocks N] [--creates N] [--rounds N] [--jobs N]

The API in this process and a durable PostgreSQL, in turns with the entries written and left out,
so that other work on the machine disturbs both alike. Of `POST /jobs` the sums of many short blocks
are compared, of bulk the medians of rounds. Sealing is measured by itself: it happens beside.
"""

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench.bulk import job

from auditing import KEYS, seal_pending
from scheduler_svc.api import audit
from scheduler_svc.api.app import build_app
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.audit_verify import verify
from scheduler_svc.store.pool import Pool, close_pool, open_pool
from serving import Clock, Records, lend

WRITES = {name: getattr(audit, name) for name in ("note_job", "note_jobs")}


async def _nothing(*_given: Any, **_more: Any) -> None:
    """Write no entry."""


def entries(*, written: bool) -> None:
    for name, write in WRITES.items():
        setattr(audit, name, write if written else _nothing)


async def creates(http: httpx2.AsyncClient, turn: int, asked: argparse.Namespace) -> None:
    for number in range(asked.creates):
        answer = await http.post("/jobs", json=job(number, turn, asked))
        assert answer.status_code == 201, answer.text


async def bulk(http: httpx2.AsyncClient, turn: int, asked: argparse.Namespace) -> None:
    jobs = [job(number, turn, asked) for number in range(asked.jobs)]
    body = msgspec.json.encode({"jobs": jobs})
    answer = await http.post(
        "/jobs/bulk", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 201, answer.text


def cpu(server: int) -> float:
    """Return the CPU seconds of this process and of the server's sessions: vacuums come and go."""
    theirs = 0.0
    for process in psutil.Process(server).children():
        with contextlib.suppress(psutil.Error):
            if (
                "bench" in " ".join(process.cmdline())
                or "postgres postgres" in process.cmdline()[0]
            ):
                used = process.cpu_times()
                theirs += used.user + used.system
    return time.process_time() + theirs


async def compare(
    server: int, http: httpx2.AsyncClient, asked: argparse.Namespace, name: str
) -> None:
    work, count, turns, of = {
        "POST /jobs": (creates, asked.creates, asked.blocks, statistics.mean),
        "bulk": (bulk, asked.jobs, asked.rounds, statistics.median),
    }[name]
    found: dict[bool, list[float]] = {True: [], False: []}
    for number in range(turns * 2 + 2):
        written = number % 2 == 0
        entries(written=written)
        before = cpu(server)
        await work(http, number, asked)
        if number >= 2:
            found[written].append((cpu(server) - before) / count * 1e6)
    with_, without = of(found[True]), of(found[False])
    print(
        f"{name:12} {without:8.1f} us a job without, {with_:8.1f} with entries:"
        f" {(with_ / without - 1) * 100:+.1f} %"
    )


async def sealing(server: int, pool: Pool) -> None:
    count = await pool.fetchval("SELECT count(*) FROM audit_pending")
    before, began = cpu(server), time.perf_counter()
    await seal_pending(pool, KEYS)
    print(
        f"sealing      {(cpu(server) - before) / count * 1e6:8.1f} us an entry,"
        f" {count / (time.perf_counter() - began):.0f} a second"
    )
    began = time.perf_counter()
    verdict = await verify(pool, KEYS)
    assert verdict.broken is None
    print(f"verifying    {verdict.entries / (time.perf_counter() - began):8.0f} entries a second")


async def measure(dsn: str, server: int, asked: argparse.Namespace) -> None:
    pool = await open_pool(dsn, application_name="bench", command_seconds=60)
    transport = httpx2.ASGITransport(build_app(lend(pool, Clock(), Records())))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", timeout=60
    ) as http:
        await compare(server, http, asked, "POST /jobs")
        await pool.execute("TRUNCATE jobs CASCADE")
        await compare(server, http, asked, "bulk")
    await sealing(server, pool)
    await close_pool(pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=40)
    parser.add_argument("--creates", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.set_defaults(distinct=False, size=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audit-bench-") as folder:
        Path(folder).chmod(0o711)  # passable, for under root the server is another account
        server = embedded.start(Path(folder) / "postgres")
        try:
            asyncio.run(migrate.migrate(server.dsn))
            uvloop.run(measure(server.dsn, server.pid, asked))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
