"""A process of its own that asks replicas whether they live: nothing else makes its answers late.

    python tests/chaos/rig/pulse.py NAME=PORT...        until its output is closed

A line for each answer: the replica's name, the status (0 where there was none, with the error) and
the milliseconds that it took.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

EVERY_SECONDS = 0.4
SECONDS = 10.0
ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
Heard = Callable[[str, int, float, str], None]


async def listening(ports: dict[str, int], heard: Heard) -> None:
    """Ask in a process of its own until cancelled, and hand on what is said, as it is said."""
    named = [f"{name}={port}" for name, port in ports.items()]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__)), *named, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        while line := await process.stdout.readline():
            name, status, took, said = line.decode().rstrip("\n").split("\t")
            heard(name, int(status), float(took), said)
        raise ChildProcessError("the process that asks who lives has ended")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ask(port: int) -> tuple[int, str]:
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(ASKED)
                answer = await reader.read()
            finally:
                writer.close()
        return int(answer.split(b" ", 2)[1]), ""
    except (OSError, TimeoutError, IndexError, ValueError) as error:
        return 0, type(error).__name__


async def _follow(name: str, port: int) -> None:
    while True:
        began = time.monotonic()
        status, said = await _ask(port)
        took = (time.monotonic() - began) * 1000
        print(name, status, f"{took:.1f}", said, sep="\t", flush=True)
        await asyncio.sleep(EVERY_SECONDS)


async def _main(named: list[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for one in named:
            name, port = one.split("=")
            tasks.create_task(_follow(name, int(port)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
