"""All that a scenario runs on: a server, its standby, a pooler, replicas, the receiver."""

import asyncio
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from chaos.rig import builds, canary
from chaos.rig.notes import Notes
from chaos.rig.plan import Scenario
from chaos.rig.postgres import Postgres
from chaos.rig.receiver import Receiver, receiving
from chaos.rig.replicas import FAKETIME, Replica, at_another_time, replicas
from commands import free_port
from scheduler_svc.store import migrate

DATABASE = "postgres"
STANDBY = "standby"
PGBOUNCER = Path("/usr/sbin/pgbouncer")
PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


@dataclass
class World:
    """What is there, by name."""

    folder: Path
    notes: Notes
    primary: Postgres
    standby: Postgres | None
    receiver: Receiver
    fleet: list[Replica]
    former: Postgres | None = None
    """A primary that was lost, where another has its place."""
    hogs: list["asyncpg.Connection[Any]"] = field(default_factory=list)

    def replica(self, name: str) -> Replica:
        """Return a replica by its name."""
        return next(one for one in self.fleet if one.name == name)

    @property
    def database_clock(self) -> Path:
        return self.folder / "database.clock"


def missing(scenario: Scenario) -> str | None:
    """Name what this machine lacks for a scenario."""
    if "faketime" in scenario.needs and not FAKETIME.exists():
        return "libfaketime is not installed: tests/chaos/install.sh"
    if "pgbouncer" in scenario.needs and not PGBOUNCER.exists():
        return "pgbouncer is not installed: tests/chaos/install.sh"
    if "before" in scenario.needs and builds.commit_before() is None:
        return "the build before this one is not in the history here: a shallow or an odd clone"
    return None


@asynccontextmanager
async def a_world(scenario: Scenario, folder: Path, seed: int) -> AsyncIterator[World]:
    """Build it, and take it down whatever happened."""
    notes = Notes(folder / "history.jsonl")
    async with AsyncExitStack() as stack:
        stack.callback(notes.close)
        apart = _apart(scenario)
        primary = await _server(scenario, folder, apart)
        stack.callback(primary.end)
        environment = await _schema(scenario, primary, folder)
        standby = await _standby(scenario, primary, folder)
        if standby is not None:
            stack.callback(standby.end)
        upstream = ("127.0.0.1", primary.port)
        if "pgbouncer" in scenario.needs:
            pooler, port = _pooler(primary, folder)
            stack.callback(_ended, pooler)
            upstream = ("127.0.0.1", port)
        receiver = await stack.enter_async_context(receiving(folder / "receiver.log"))
        await stack.enter_async_context(canary.watching(folder / "canary.log"))
        for _ in range(scenario.burners):
            stack.callback(_ended, _burner())
        fleet = await stack.enter_async_context(
            replicas(
                scenario.replicas,
                upstream,
                folder=folder,
                notes=notes,
                settings=scenario.settings,
                dated="faketime" in scenario.needs,
                seed=seed,
                database=DATABASE,
                beside=_beside(scenario, standby),
                apart=apart,
                environment=environment,
            )
        )
        yield World(folder, notes, primary, standby, receiver, fleet)


def _apart(scenario: Scenario) -> float:
    """Return the seconds between the date of a scenario and the machine's."""
    if not scenario.dated:
        return 0.0
    return datetime.fromisoformat(scenario.dated).timestamp() - time.time()


def _beside(scenario: Scenario, standby: Postgres | None) -> str:
    if not scenario.query:
        return ""
    assert standby is not None
    return f",127.0.0.1:{standby.port}/{DATABASE}?{scenario.query}"


async def _schema(scenario: Scenario, primary: Postgres, folder: Path) -> Mapping[str, str]:
    """Make the schema of this build, or of the one before; return what has replicas be of it."""
    if "before" not in scenario.needs:
        await migrate.migrate(primary.dsn)
        return {}
    environment = await asyncio.to_thread(builds.unpacked, folder / "before")
    await builds.migrated(primary.dsn, environment)
    return environment


async def _server(scenario: Scenario, folder: Path, apart: float) -> Postgres:
    environment = {}
    if "faketime" in scenario.needs:
        clock = folder / "database.clock"
        clock.write_text(f"{apart:+.3f}\n")
        clock.chmod(0o644)
        environment = at_another_time(clock)
    server = Postgres(folder / "primary", environment=environment)
    server.make()
    await server.start()
    return server


async def _standby(scenario: Scenario, primary: Postgres, folder: Path) -> Postgres | None:
    """Start a standby that confirms each commit, or only follows, and wait until it does."""
    if not scenario.needs & {STANDBY, "follower"}:
        return None
    confirms = STANDBY in scenario.needs
    standby = await asyncio.to_thread(primary.copy, folder / STANDBY, name=STANDBY)
    await standby.start()
    conn = await asyncpg.connect(primary.dsn, timeout=10)
    try:
        if confirms:
            await conn.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
            await conn.execute("SELECT pg_reload_conf()")
        wanted = ("streaming", "sync" if confirms else "async")
        deadline = time.monotonic() + 30
        asked = "SELECT state, sync_state FROM pg_stat_replication"
        while tuple(await conn.fetchrow(asked) or ()) != wanted:
            assert time.monotonic() < deadline, "the standby does not follow"
            await asyncio.sleep(0.1)  # a state of another process: there is nothing to wait for
    finally:
        await conn.close()
    return standby


def _pooler(primary: Postgres, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Start PgBouncer in transaction mode, set up as docs/operations.md says."""
    port, home = free_port(), folder / "pooler"
    home.mkdir()
    said = re.search(r"`ignore_startup_parameters = ([^`]+)`", PAGE.read_text())
    assert said is not None
    ignored = " ".join(said[1].split())
    lines = [
        "[databases]",
        f"{DATABASE} = host=127.0.0.1 port={primary.port}",
        "[pgbouncer]",
        "listen_addr = 127.0.0.1",
        f"listen_port = {port}",
        "unix_socket_dir =",
        "auth_type = any",
        "pool_mode = transaction",
        "max_client_conn = 200",
        "default_pool_size = 20",
        f"ignore_startup_parameters = {ignored}",
        f"logfile = {home / 'log'}",
        f"pidfile = {home / 'pid'}",
    ]
    lines[1] += " user=postgres"
    (home / "ini").write_text("\n".join(lines) + "\n")
    command = [str(PGBOUNCER), str(home / "ini")]
    if os.geteuid() == 0:
        shutil.chown(home, "nobody")
        command += ["-u", "nobody"]
        assert pwd.getpwnam("nobody")
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL), port


def _burner() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "while True: pass"])


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)
