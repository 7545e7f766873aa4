"""What benchmarks stand on: a durable server, a database of a round, a fast receiver, readings.

The receiver is C, compiled at need with `cc`, so that it is never the slow one.
"""

import asyncio
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
    while True:
        times = process.cpu_times()
        total = float(times.user + times.system + times.children_user + times.children_system)
        try:
            of_children = [one.cpu_times() for one in process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue  # one ended meanwhile, and its parent has what it used
        return total + sum(float(own.user + own.system) for own in of_children)


def pinned(pid: int | None, core: int) -> None:
    """Keep a process, its threads and its children on one core."""
    if pid is None or (os.cpu_count() or 1) <= core:
        return
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        for thread in one.threads():
            os.sched_setaffinity(thread.id, {core})


@contextmanager
def durable(*, counting: bool = False) -> Iterator[Ground]:
    """Serve from a new folder with fsync on, or take the server of DATABASE_URL.

    With `counting` a server of ours counts its statements, which costs each a little.
    """
    if given := os.environ.get("DATABASE_URL"):
        yield Ground(given, None)
        return
    folder = Path(tempfile.mkdtemp(prefix="scheduler-svc-bench-"))
    folder.chmod(0o711)  # passable, for under root the server is another account
    server = embedded.start(folder)
    if counting:
        asyncio.run(_count_statements(server.dsn))
        server.stop()
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


async def _count_statements(dsn: str) -> None:
    """Have the server count statements from its next start on."""
    async with database(dsn) as conn:
        await conn.execute("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'")
        await conn.execute("ALTER SYSTEM SET pg_stat_statements.track = 'all'")
        await conn.execute("CREATE EXTENSION pg_stat_statements")


@dataclass(frozen=True)
class Seen:
    """What the receiver saw of a while, by the machine's clock; in milliseconds."""

    requests: int
    early: int
    p50: float
    p99: float
    most: float

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests, {self.early} early,"
            f" late p50 {self.p50:.2f} p99 {self.p99:.2f} max {self.most:.1f} ms"
        )


@dataclass(frozen=True)
class Receiver:
    """A receiver that runs; its address answers every path."""

    url: str
    running: subprocess.Popen[bytes]

    def seen(self) -> Seen:
        """Return what came since the last question, of a receiver that watches."""
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.write(b"\n")
        self.running.stdin.flush()
        requests, early, p50, p99, most = self.running.stdout.readline().split()
        return Seen(int(requests), int(early), float(p50), float(p99), float(most))


@contextmanager
def receiver() -> Iterator[str]:
    """Run the receiver; its address answers every path."""
    with receiving() as one:
        yield one.url


@contextmanager
def receiving(*, watching: bool = False, port: int = 0) -> Iterator[Receiver]:
    """Run the receiver, which takes down how late each request is where it is to watch."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "receiver"
        source = Path(__file__).with_name("_receiver.c")
        subprocess.run(["cc", "-O2", "-o", str(program), str(source)], check=True)
        with subprocess.Popen(
            [str(program), str(port), *(["watch"] if watching else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            try:
                port = int(running.stdout.readline())
                yield Receiver(f"http://127.0.0.1:{port}/call", running)
            finally:
                running.stdin.close()
