"""What tracing costs a fire: calls and processor time, off and on.

    python bench/tracing.py [--fires N] [--rounds N]

A replica in pieces claims, sends and settles so many jobs of one instant, on a real database and a
real receiver, in turns without and with somebody who takes spans. Calls are those of our own code,
and from it, that Python's profiler sees; time is without the profiler. The least of the rounds.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from receiver import Receiver, receiving
from rig import HOUR, Rig, rigged
from scheduler_svc.engine import pace
from scheduler_svc.store import embedded, migrate
from scheduler_svc.store.pool import BY_KEY, Pool, open_pool


@asynccontextmanager
async def replicas(dsn: str) -> AsyncIterator[tuple[Pool, Receiver]]:
    """Migrate, and open what a replica stands on."""
    await migrate.migrate(dsn)
    pool = await open_pool(dsn, application_name="bench", planner=BY_KEY)
    async with receiving() as receiver:
        yield pool, receiver
    pool.terminate()


async def fire(rig: Rig) -> None:
    """Bring all that is due to its end."""
    await pace._pass(rig.parts, rig.pace)  # noqa: SLF001 - one pass as the loop makes it
    await rig.send()


async def made_due(rig: Rig, fires: int) -> None:
    for _ in range(fires):
        await rig.job(schedule={"at": "2030-01-01T00:00:00Z"}, at_ms=rig.clock.ms + HOUR)
    await rig.pass_time(HOUR)


async def counted(rig: Rig, fires: int) -> float:
    """Return the calls of a fire."""
    calls = 0

    def hear(frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"} and "scheduler_svc" in frame.f_code.co_filename

    await made_due(rig, fires)
    sys.setprofile(hear)
    try:
        await fire(rig)
    finally:
        sys.setprofile(None)
    return calls / fires


async def timed(rig: Rig, fires: int) -> float:
    """Return the processor microseconds of a fire, with the receiver's."""
    await made_due(rig, fires)
    began = process_time()
    await fire(rig)
    return (process_time() - began) * 1e6 / fires


async def measure(dsn: str, asked: argparse.Namespace) -> None:
    """Print both, in turns."""
    spans: list[Any] = []
    async with replicas(dsn) as (pool, receiver), rigged(pool, receiver, slots=asked.fires) as rig:
        off = rig.parts
        on = msgspec.structs.replace(off, on_span=spans.append)
        await timed(rig, asked.fires)
        calls = {"off": float("inf"), "on": float("inf")}
        best = calls.copy()
        for _ in range(asked.rounds):
            for name, parts in (("off", off), ("on", on)):
                rig.parts = parts
                rig.parts.hand.claimed = [] if name == "on" else None
                best[name] = min(best[name], await timed(rig, asked.fires))
                calls[name] = min(calls[name], await counted(rig, asked.fires))
    for name in ("off", "on"):
        print(f"tracing {name:3}: {calls[name]:6.1f} calls, {best[name]:6.1f} us a fire")


def main() -> None:
    """Measure on a throw-away server."""
    given = argparse.ArgumentParser(description="the cost of tracing")
    given.add_argument("--fires", type=int, default=500)
    given.add_argument("--rounds", type=int, default=7)
    asked = given.parse_args()
    with embedded.throw_away() as server:
        asyncio.run(measure(server.dsn, asked))


if __name__ == "__main__":
    main()
