"""Files of jobs from the shell: apply, again with no change, with a change, export, prune.

    python bench/apply.py [--jobs N] [--format yaml|json]

The shipped commands as processes against one replica on the embedded PostgreSQL, durable as by
default: what is timed is what a person or a pipeline waits for, the start of Python included, and
beside it the command's own CPU. Of the second apply also whether any row was written or locked.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench.bulk import job

from commands import call
from fleet import replica
from scheduler_svc.cli.files.writing import written
from scheduler_svc.store import embedded, migrate

TABLES = ("jobs", "job_timers", "job_expectations", "audit_pending", "audit_log", "runs")
MARKS = " UNION ALL ".join(
    f"SELECT '{table}', count(*), max(xmin::text::bigint), max(xmax::text::bigint) FROM {table}"
    for table in TABLES
)


def seldom(number: int, turn: int) -> dict[str, object]:
    """Make a job that does not fire while this runs: a fire writes, and is not what is measured."""
    made = job(number, turn, argparse.Namespace(size=0, distinct=False))
    month = (datetime.now(UTC).month + 5) % 12 + 1
    cron = f"{number % 60} {number // 60 % 24} {number // 1440 + 1} {month} *"
    return made | {"schedule": {"cron": cron, "timezone": "Europe/Berlin"}}


async def timed(label: str, *arguments: str, url: str) -> str:
    """Run a command, print how long it took, and return what it said."""
    begun, spent = time.perf_counter(), of_commands()
    code, told = await call(*arguments, env={"SCHEDULER_URL": url})
    seconds, spent = time.perf_counter() - begun, of_commands() - spent
    last = told.strip().splitlines()[-1] if told.strip() else ""
    print(f"{seconds:>7.2f} s, CPU {spent:.2f}  {label:<26} exit {code}  {last[:80]}", flush=True)
    return told


def of_commands() -> float:
    """Return the CPU seconds of the commands that have ended, without the replica's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def marks(conn: "asyncpg.Connection[asyncpg.Record]") -> list[tuple[object, ...]]:
    """Return who wrote or locked rows last; the audit log is sealed a moment after its entries."""
    return [tuple(row) for row in await conn.fetch(MARKS)]


def save(path: Path, jobs: list[dict[str, object]], owner: str) -> None:
    """Write a file of jobs."""
    document = {"version": 1, "owner": owner, "jobs": jobs}
    path.write_text(json.dumps(document) if path.suffix == ".json" else written(document))


async def measure(dsn: str, folder: Path, asked: argparse.Namespace) -> None:
    """Go through the life of a file."""
    jobs = [seldom(number, 0) for number in range(asked.jobs)]
    path, other = folder / f"jobs.{asked.format}", folder / f"other.{asked.format}"
    save(path, jobs, "mine")
    save(other, [seldom(number, 1) for number in range(100)], "theirs")
    print(f"{asked.jobs} jobs, {path.stat().st_size / 1024:,.0f} KiB of {asked.format}")
    conn = await asyncpg.connect(dsn)
    async with replica(dsn) as one:
        url = one.url("")
        await timed("nothing but the start", "--version", url=url)
        await timed("apply, another's 100 jobs", "apply", "-f", str(other), url=url)
        await timed("apply, all new", "apply", "-f", str(path), url=url)
        while await conn.fetchval("SELECT count(*) FROM audit_pending"):  # noqa: ASYNC110 - sealed elsewhere
            await asyncio.sleep(0.1)
        before = await marks(conn)
        await timed("apply again, no change", "apply", "-f", str(path), "--prune", url=url)
        same = await marks(conn) == before
        print(f"           rows written or locked by it: {'none' if same else 'SOME'}")
        save(path, [{**one, "priority": 1} for one in jobs], "mine")
        await timed("apply, every job changed", "apply", "-f", str(path), url=url)
        await timed("export", "export", "--owner", "mine", "--json", url=url)
        save(path, jobs[: asked.jobs // 2], "mine")
        await timed("apply, half of it pruned", "apply", "-f", str(path), "--prune", url=url)
        left = await conn.fetch(
            "SELECT name LIKE 'job-1-%' AS theirs, count(*) FROM jobs GROUP BY 1"
        )
        print("           left:", {("theirs" if row[0] else "mine"): row[1] for row in left})
    await conn.close()


def main() -> None:
    """Read the arguments, start a server, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--format", choices=("yaml", "json"), default="yaml")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="apply-bench-") as folder:
        Path(folder).chmod(0o711)
        server = embedded.start(Path(folder) / "postgres")
        try:
            asyncio.run(migrate.migrate(server.dsn))
            asyncio.run(measure(server.dsn, Path(folder), asked))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
