"""An even load for half an hour: does anything grow that should not?

    python bench/soak.py [--rate N] [--seconds N] [--period N] [--part SECONDS]

Each part is printed with its lateness, what a fire cost, the replica's memory, the size of
`job_timers` with its indexes and how many of its rows are dead, and what a run takes on the disk;
last, the last part beside the first. One period passes before the first, so that every job has
fired once.
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiving
from bench._steady import Stand, evenly, parts, ratios, until

from fleet import database, replica


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    """Fire all the while."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        stand = Stand(ground, conn, [await stack.enter_async_context(replica(dsn))])
        first = await evenly(conn, url, jobs=asked.rate * asked.period, period=asked.period)
        await until(conn, first, seconds=asked.period)
        found = await parts(stand, seconds=asked.seconds, part=asked.part)
    print(f"last beside first: {ratios(found[-1], found[0])}")


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="an even load for long")
    given.add_argument("--rate", type=int, default=1000)
    given.add_argument("--seconds", type=float, default=1800.0)
    given.add_argument("--period", type=int, default=60, help="seconds between two fires of a job")
    given.add_argument("--part", type=float, default=300.0)
    asked = given.parse_args()
    with durable() as ground, receiving(watching=True) as target:
        asyncio.run(measure(ground, target.url, asked))
        print(f"at the receiver: {target.seen()}")


if __name__ == "__main__":
    main()
