"""Replicas as the shipped command, each with its own line to the database and its own clock."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil

from chaos.rig.notes import Notes
from chaos.rig.proxy import Proxy, proxying
from commands import COMMAND, Program, free_port, program

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
LAST_WORDS_SECONDS = 3.0
ENVIRONMENT = {
    "SCHEDULER_PROFILE": "development",
    "SCHEDULER_LOG_FORMAT": "json",
    "SCHEDULER_LOG_LEVEL": "info",
    "SCHEDULER_LOG_SUCCESSES_MAX": "1",
}


def at_another_time(file: Path) -> dict[str, str]:
    """Return the variables that give a program the clock of a file, and its monotonic one."""
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


@dataclass
class Replica:
    """One place for a process of the service: its port, line and clock stay when it comes anew."""

    name: str
    proxy: Proxy
    dsn: str
    folder: Path
    notes: Notes
    settings: Mapping[str, str]
    dated: bool = False
    apart: float = 0.0
    """Seconds between its clock and the machine's when it starts."""
    environment: dict[str, str] = field(default_factory=dict)
    """What it has beyond the others: another build, other zone data."""
    port: int = field(default_factory=free_port)
    running: Program | None = None
    pid: int = 0
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def clock(self) -> Path:
        return self.folder / f"{self.name}.clock"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.process.returncode is None

    async def start(self) -> None:
        """Start the command and wait until it serves."""
        await self._stack.aclose()
        named = {f"SCHEDULER_{name.upper()}": value for name, value in self.settings.items()}
        env = {"DATABASE_URL": self.dsn, "SCHEDULER_PORT": str(self.port)} | ENVIRONMENT | named
        if self.dated:
            if not self.clock.exists():
                self.set_clock(self.apart)
            env |= at_another_time(self.clock)
        env |= self.environment
        self.running = await self._stack.enter_async_context(program(*COMMAND, "serve", env=env))
        self.pid = self.running.pid
        await self._serving(self.running)
        self.notes.write("started", replica=self.name, pid=self.pid)

    async def _serving(self, running: Program) -> None:
        """Wait for the greeting; a machine with much to do may take its time."""
        for patience in range(4, 0, -1):
            try:
                await running.line("API http")
            except AssertionError:
                if patience == 1 or running.process.returncode is not None:
                    raise
            else:
                return

    def kill(self) -> None:
        """End it as a lost host would."""
        assert self.running is not None
        self.running.tell(signal.SIGKILL)

    async def term(self) -> int:
        """Ask it to leave; return the exit code."""
        assert self.running is not None
        self.running.tell(signal.SIGTERM)
        return await self.running.end()

    def pause(self) -> None:
        """Stop it where it is."""
        psutil.Process(self.pid).suspend()

    def wake(self) -> None:
        """Let it go on."""
        with suppress(psutil.NoSuchProcess):
            psutil.Process(self.pid).resume()

    def set_clock(self, seconds: float) -> None:
        """Set its wall clock apart from the machine's."""
        draft = self.clock.with_suffix(".new")
        draft.write_text(f"{seconds:+.3f}\n")
        draft.rename(self.clock)

    async def close(self) -> None:
        """Let nothing outlive the scenario; keep what it said."""
        if self.alive and self.running is not None:
            self.wake()
            self.running.tell(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS_SECONDS):
                    await self.running.process.wait()
        await self._stack.aclose()
        if self.running is not None:
            (self.folder / f"{self.name}.log").write_text(self.running.output)


@asynccontextmanager
async def replicas(
    count: int,
    upstream: tuple[str, int],
    *,
    folder: Path,
    notes: Notes,
    settings: Mapping[str, str],
    dated: bool,
    seed: int,
    database: str,
    beside: str = "",
    apart: float = 0.0,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[list[Replica]]:
    """Start so many replicas, each behind a proxy of its own; `beside` ends their addresses of the
    database: more hosts, its name and what it asks for.
    """
    async with AsyncExitStack() as stack:
        made = []
        for number in range(1, count + 1):
            proxy = await stack.enter_async_context(proxying(upstream, seed=seed + number))
            dsn = f"postgresql://postgres@127.0.0.1:{proxy.port}{beside or '/' + database}"
            one = Replica(f"r{number}", proxy, dsn, folder, notes, settings, dated, apart)
            one.environment |= environment or {}
            stack.push_async_callback(one.close)
            made.append(one)
        await asyncio.gather(*(one.start() for one in made))
        yield made


async def identities(fleet: list[Replica], http: httpx2.AsyncClient, notes: Notes) -> None:
    """Note which process has which id, as far as anyone can tell now."""
    for one in fleet:
        if not one.alive:
            continue
        with suppress(httpx2.HTTPError):
            answer = await http.get(one.url("/replicas"))
            if answer.status_code == 200:
                for item in answer.json()["items"]:
                    notes.write("replica", id=item["id"], pid=item["pid"])
                return
