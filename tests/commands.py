"""The shipped command as a process: started, read line by line, told to stop, awaited."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

SECONDS = 30.0
COMMAND = (sys.executable, "-m", "scheduler_svc")


class Program:
    """A running program; its output is read all the time, so that it never waits for us."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            async with self._news:
                self.lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def line(self, part: str, count: int = 1) -> str:
        """Wait for a line that holds this text, or for so many of them, and return the last."""

        def found() -> list[str]:
            return [line for line in self.lines if part in line]

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SECONDS), self._news:
                await self._news.wait_for(lambda: len(found()) >= count or self._reading.done())
        assert len(found()) >= count, self.output
        return found()[-1]

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> int:
        """Wait for the end of the program and of its output; return the exit code."""
        async with asyncio.timeout(SECONDS):
            code = await self.process.wait()
            await self._reading
        return code


@asynccontextmanager
async def program(*command: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Program]:
    """Run a command with these variables over our own; both outputs in one; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=clean_environment() | dict(env or {}),
    )
    running = Program(process)
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await running.end()


async def call(*arguments: str, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run the shipped command to its end; return the exit code and what it said."""
    async with program(*COMMAND, *arguments, env=env) as running:
        return await running.end(), running.output


def clean_environment() -> dict[str, str]:
    """Return the environment without what would set the service up."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "DATABASE_URL" and not name.startswith("SCHEDULER_")
    } | {"PYTHONUNBUFFERED": "1"}


def development(dsn: str, port: int, **more: str) -> dict[str, str]:
    """Set the service up for a test, on a database and a port."""
    named = {f"SCHEDULER_{name.upper()}": value for name, value in more.items()}
    return {
        "DATABASE_URL": dsn,
        "SCHEDULER_PROFILE": "development",
        "SCHEDULER_PORT": str(port),
    } | named


def free_port() -> int:
    """Find a port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def installed(name: str) -> Path:
    """Find a script that was installed beside this Python."""
    return Path(sys.executable).parent / name
