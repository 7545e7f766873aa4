"""What benchmarks stand on: a durable server, a database of a round, a fast receiver, readings.

The receiver is C, compiled at need with `cc`, so that it is never the slow one.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fleet import database
from scheduler_svc.store import embedded, migrate


@dataclass(frozen=True)
class Ground:
    """A PostgreSQL that keeps what it commits; `pid` is its first process, where it is ours."""

    dsn: str
    pid: int | None

    def cpu_seconds(self) -> float:
        """Return what the server has used so far, with its ended backends."""
        return 0.0 if self.pid is None else used(self.pid)


def used(pid: int) -> float:
    """Return the processor seconds of a process, its children and those that have ended."""
    process = psutil.Process(pid)
    times = process.cpu_times()
    total = float(times.user + times.system + times.children_user + times.children_system)
    for child in process.children(recursive=True):
        own = child.cpu_times()
        total += float(own.user + own.system)
    return total


def pinned(pid: int | None, core: int) -> None:
    """Keep a process, its threads and its children on one core."""
    if pid is None or (os.cpu_count() or 1) <= core:
        return
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        for thread in one.threads():
            os.sched_setaffinity(thread.id, {core})


@contextmanager
def durable() -> Iterator[Ground]:
    """Serve from a new folder with fsync on, or take the server of DATABASE_URL."""
    if given := os.environ.get("DATABASE_URL"):
        yield Ground(given, None)
        return
    folder = Path(tempfile.mkdtemp(prefix="scheduler-svc-bench-"))
    folder.chmod(0o711)  # passable, for under root the server is another account
    server = embedded.start(folder)
    try:
        yield Ground(server.dsn, server.pid)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def a_database(ground: Ground) -> AsyncIterator[str]:
    """Make a migrated database for one round, and drop it after."""
    name = f"scheduler_bench_{secrets.token_hex(4)}"
    async with database(ground.dsn) as conn:
        await conn.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    dsn = urlunsplit(urlsplit(ground.dsn)._replace(path=f"/{name}"))
    try:
        await migrate.migrate(dsn)
        yield dsn
    finally:
        async with database(ground.dsn) as conn:
            await conn.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def receiver() -> Iterator[str]:
    """Run the receiver; its address answers every path."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "receiver"
        source = Path(__file__).with_name("_receiver.c")
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
        with subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            try:
                yield f"http://127.0.0.1:{int(running.stdout.readline())}/call"
            finally:
                running.stdin.close()
