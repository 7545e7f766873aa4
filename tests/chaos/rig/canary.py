"""A process that does nothing but sleep, and notes when the machine let it sleep too long.

    python tests/chaos/rig/canary.py LOG        until its input ends

A line for each time it woke more than 20 ms late: the monotonic clock and the milliseconds. What it
notes is the machine's doing, and nobody's of the service.
"""

import asyncio
import os
import select
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

NAP_SECONDS = 0.005
WORTH_SECONDS = 0.02


@asynccontextmanager
async def watching(log: Path) -> AsyncIterator[None]:
    """Run the canary until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__)), str(log), stdin=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


def _watch(path: str) -> None:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    before = time.monotonic()
    while not select.select([sys.stdin], [], [], NAP_SECONDS)[0]:
        now = time.monotonic()
        if (late := now - before - NAP_SECONDS) > WORTH_SECONDS:
            os.write(file, f"{now:.6f}\t{late * 1000:.1f}\n".encode())
        before = now


if __name__ == "__main__":
    _watch(sys.argv[1])
