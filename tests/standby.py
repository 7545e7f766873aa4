"""A real primary with a real streaming standby, on sockets of their own, that a test may stop."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import asyncpg

from scheduler_svc.store import embedded
from scheduler_svc.store.embedded_tuning import SUPERUSER, initdb_command
from scheduler_svc.store.embedded_user import becoming, server_account

BINARIES = embedded._binaries()
COMMON = (
    *("listen_addresses=", "wal_level=replica", "max_wal_senders=4", "fsync=off"),
    *("max_connections=60", "shared_buffers=64MB", "hot_standby=on", "timezone=UTC"),
)


class Node:
    """One server of the pair, in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = folder / "cluster"
        self.dsn = f"postgresql://{SUPERUSER}@/postgres?host={folder}&port=5432"
        self._account = server_account(folder / "none")
        self._process: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        self._folder()
        self._run(initdb_command(BINARIES, self.cluster, durable=False))

    def follow(self, primary: "Node") -> None:
        self._folder()
        source = f"host={primary.folder} port=5432 user={SUPERUSER}"
        self._run(
            [
                *(str(BINARIES / "pg_basebackup"), f"--pgdata={self.cluster}"),
                *(f"--dbname={source}", "--write-recovery-conf"),
                *("--checkpoint=fast", "--wal-method=stream"),
            ]
        )

    async def start(self) -> None:
        options = [part for text in COMMON for part in ("-c", text)]
        command = [str(BINARIES / "postgres"), "-D", str(self.cluster), *options]
        command += ["-c", f"unix_socket_directories={self.folder}"]
        self._process = await asyncio.to_thread(self._spawn, command)
        async with asyncio.timeout(30):
            while True:
                try:
                    conn = await asyncpg.connect(self.dsn, timeout=5)
                except (OSError, asyncpg.CannotConnectNowError):
                    await asyncio.sleep(0.05)  # a process starts: there is no event to wait for
                    continue
                await conn.close()
                return

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._become(),  # noqa: PLW1509 - it only gives up rights
            )

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None

    async def run(self, sql: str) -> object:
        conn = await asyncpg.connect(self.dsn, timeout=5)
        try:
            return await conn.fetchval(sql)
        finally:
            await conn.close()

    def _folder(self) -> None:
        self.cluster.mkdir(mode=0o700)
        if self._account is not None:
            os.chown(self.folder, *self._account)
            os.chown(self.cluster, *self._account)

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run(
            command,
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            preexec_fn=self._become(),
        )

    def _become(self) -> Callable[[], None]:
        return becoming(self._account, [BINARIES / "postgres", self.cluster])


class Pair(NamedTuple):
    primary: Node
    standby: Node


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """Serve both until the block ends."""
    folders = [Path(tempfile.mkdtemp(prefix="scheduler-svc-")) for _ in range(2)]
    for folder in folders:
        folder.chmod(0o711)
    primary, standby = (Node(folder) for folder in folders)
    try:
        await asyncio.to_thread(primary.make)
        await primary.start()
        await asyncio.to_thread(standby.follow, primary)
        await standby.start()
        yield Pair(primary, standby)
    finally:
        standby.stop()
        primary.stop()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
