"""The process between the service and its embedded PostgreSQL, so that neither outlives its use.

Promises that the server ends soon after the pipe from the service closes, by whatever means: a
clean stop, an exception, kill -9. Lives in its own session, so Ctrl-C in the terminal reaches the
service alone and the server is there while it drains. Starts the server again should it die.
Speaks one JSON line on stdout (ready, or why not) and imports nothing heavy.
"""

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple

from scheduler_svc.store.embedded_tuning import initdb_command, postgres_command
from scheduler_svc.store.embedded_user import Account, becoming, server_account

START_SECONDS = 60.0
HANDOVER_SECONDS = 60.0
FAST_SECONDS = 30.0
IMMEDIATE_SECONDS = 5.0
POLL_SECONDS = 0.02
RESTART_SECONDS = 1.0


class Plan(NamedTuple):
    """What the service asks for; travels as JSON in the guard's one argument."""

    folder: str
    binaries: str
    sockets: str
    durable: bool

    @property
    def home(self) -> Path:
        return Path(self.folder)

    @property
    def cluster(self) -> Path:
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"


class NotStarted(Exception):
    """The server cannot be had; the text says why, for people."""


class Abandoned(Exception):
    """The service has gone while the server was still being made."""


def main() -> int:
    plan = Plan(**json.loads(sys.argv[1]))
    _ignore_signals()
    try:
        with (plan.home / "server.lock").open("a") as lock, _open_log(plan) as log:
            _take_over(lock, plan)
            _serve(plan, log)
    except (NotStarted, OSError) as error:
        _report({"error": str(error)})
        return 1
    except subprocess.SubprocessError:  # raised for whatever happens between fork and exec
        _report({"error": f"root may not start it as an account that can reach {plan.folder}"})
        return 1
    except Abandoned:
        return 0
    finally:
        _tidy(plan)
    return 0


def _ignore_signals() -> None:
    """Leave the end to the pipe; a handler, not SIG_IGN, for children would inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)


def _serve(plan: Plan, log: IO[bytes]) -> None:
    account = server_account(plan.cluster)
    become = becoming(account, [Path(plan.binaries) / "postgres", plan.cluster, Path(plan.sockets)])
    _make_cluster(plan, account, become, log)
    if account is not None:
        os.chown(plan.sockets, *account)
    server = _start(plan, become, log)
    _report({"ready": server.pid})
    while not _service_gone(wait_seconds=RESTART_SECONDS):
        if server.poll() is not None:
            log.write(b"the server ended by itself; starting it again\n")
            log.flush()
            server = _start(plan, become, log)
    _stop(server, durable=plan.durable)


def _make_cluster(
    plan: Plan, account: Account | None, become: Callable[[], None], log: IO[bytes]
) -> None:
    """Make it beside and rename, so that a crash half-way leaves nothing that looks whole."""
    if (plan.cluster / "PG_VERSION").exists():
        return
    draft = plan.home / "postgres.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account is not None:
        os.chown(draft, *account)
    command = initdb_command(Path(plan.binaries), draft, durable=plan.durable)
    made = subprocess.run(  # noqa: S603 - our own binaries
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        preexec_fn=become,
    )
    if made.returncode != 0:
        raise NotStarted(f"initdb ended with {made.returncode}: {_last_words(plan)}")
    if plan.cluster.is_dir():
        plan.cluster.rmdir()
    draft.rename(plan.cluster)


def _start(plan: Plan, become: Callable[[], None], log: IO[bytes]) -> subprocess.Popen[bytes]:
    command = postgres_command(
        Path(plan.binaries), plan.cluster, Path(plan.sockets), durable=plan.durable
    )
    server = subprocess.Popen(  # noqa: S603 - our own binaries
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd="/",
        preexec_fn=become,  # noqa: PLW1509 - the guard has one thread
    )
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(plan, server.pid):
        if server.poll() is not None:
            raise NotStarted(f"the server ended with {server.returncode}: {_last_words(plan)}")
        if time.monotonic() > deadline or _service_gone(wait_seconds=POLL_SECONDS):
            _stop(server, durable=plan.durable)
            raise Abandoned
    return server


def _is_ready(plan: Plan, pid: int) -> bool:
    """Read what pg_ctl reads: line 1 of postmaster.pid is the process, line 8 its state."""
    lines = _pid_lines(plan)
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004


def _stop(server: subprocess.Popen[bytes], *, durable: bool) -> None:
    """Fast, then immediate, then by force; a forgetful server has nothing to write down."""
    steps = [(signal.SIGINT, FAST_SECONDS)] if durable else []
    for number, seconds in [*steps, (signal.SIGQUIT, IMMEDIATE_SECONDS)]:
        server.send_signal(number)
        try:
            server.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    server.kill()
    server.wait()


def _take_over(lock: IO[str], plan: Plan) -> None:
    """Wait for the guard of a killed service, and end a server whose guard was killed too."""
    deadline = time.monotonic() + HANDOVER_SECONDS
    while not _try_lock(lock):
        _pause(deadline, "an earlier server of this folder does not end")
    while (pid := _orphan(plan)) is not None:
        os.kill(pid, signal.SIGINT)
        _pause(deadline, f"an earlier server of this folder (process {pid}) does not end")


def _pause(deadline: float, complaint: str) -> None:
    if time.monotonic() > deadline:
        raise NotStarted(complaint)
    if _service_gone(wait_seconds=5 * POLL_SECONDS):
        raise Abandoned


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _orphan(plan: Plan) -> int | None:
    """Find a living server of this cluster; a number that another program now has is stale."""
    lines = _pid_lines(plan)
    if not lines or not lines[0].isdigit():
        return None
    pid = int(lines[0])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    command = Path(f"/proc/{pid}/cmdline")
    if sys.platform == "linux" and os.fsencode(plan.cluster) not in command.read_bytes():
        (plan.cluster / "postmaster.pid").unlink(missing_ok=True)
        return None
    return pid


def _pid_lines(plan: Plan) -> list[str]:
    try:
        return (plan.cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _service_gone(*, wait_seconds: float) -> bool:
    """Wait on the pipe; the service never writes to it, so readable means closed."""
    readable, _, _ = select.select([sys.stdin], [], [], wait_seconds)
    return bool(readable)


def _open_log(plan: Plan) -> IO[bytes]:
    if plan.log.exists() and plan.log.stat().st_size > 10 * 1024 * 1024:
        plan.log.replace(plan.log.with_suffix(".log.1"))
    return plan.log.open("ab")


def _last_words(plan: Plan) -> str:
    lines = plan.log.read_text(errors="replace").splitlines()[-5:]
    return " / ".join(line.strip() for line in lines) or f"see {plan.log}"


def _report(status: dict[str, object]) -> None:
    try:
        sys.stdout.write(json.dumps(status) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The service has gone; its pipe says so to the loop as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tidy(plan: Plan) -> None:
    """Remove the socket's own folder, and everything of a forgetful server."""
    if Path(plan.sockets) != plan.cluster:
        shutil.rmtree(plan.sockets, ignore_errors=True)
    if not plan.durable:
        shutil.rmtree(plan.folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
