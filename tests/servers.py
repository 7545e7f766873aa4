"""A PostgreSQL of the test's own, with the settings it asks for; a plain child process."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from scheduler_svc.store import embedded
from scheduler_svc.store.embedded_tuning import PORT, SUPERUSER, initdb_command, postgres_command
from scheduler_svc.store.embedded_user import becoming, server_account

SECONDS = 60.0


@contextmanager
def a_server(data: Path | None = None, /, **options: str) -> Iterator[str]:
    """Serve a new cluster, or one that is moved here; yield the address of its superuser."""
    folder = Path(tempfile.mkdtemp(prefix="scheduler-svc-"))
    folder.chmod(0o711)
    cluster = folder / "postgres"
    if data is None:
        cluster.mkdir(mode=0o700)
    else:
        shutil.move(data, cluster)
    sockets = folder / "sockets"
    sockets.mkdir()
    account = server_account(folder / "none")
    if account is not None:
        for path in (sockets, cluster, *cluster.rglob("*")):
            os.chown(path, *account)
    binaries = embedded._binaries()
    become = becoming(account, [binaries / "postgres", cluster])
    with (folder / "log").open("wb") as log:
        if data is None:
            made = initdb_command(binaries, cluster, durable=False)
            subprocess.run(
                made,
                preexec_fn=become,
                check=True,
                stdout=log,
                stderr=log,
            )
        command = postgres_command(binaries, cluster, sockets, durable=False)
        command += [f"--{name}={value}" for name, value in options.items()]
        server = subprocess.Popen(
            command,
            preexec_fn=become,  # noqa: PLW1509 - nothing is between fork and exec
            stdout=log,
            stderr=log,
        )
    try:
        dsn = f"postgresql://{SUPERUSER}@/postgres?host={quote(str(sockets))}&port={PORT}"
        _await(server, str(binaries / "pg_isready"), dsn, folder / "log")
        yield dsn
    finally:
        server.terminate()
        try:
            server.wait(SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _await(server: "subprocess.Popen[bytes]", is_ready: str, dsn: str, log: Path) -> None:
    """Wait until it answers; another process starts it, so there is no event to wait for."""
    until = time.monotonic() + SECONDS
    while subprocess.run([is_ready, "--quiet", f"--dbname={dsn}"], check=False).returncode:
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.05)
