"""A transaction that stays open for minutes under load: what it does to the cost of a fire.

    python bench/old_snapshot.py [--rate N] [--seconds N] [--period N] [--part SECONDS]

The transaction takes a snapshot and does nothing more, so that no row which is dead since can be
removed: each fire leaves one of `job_timers` and one of its run. First a part without it is
measured, then one part after the other with it, by cost and lateness; last, how many times the
first of them the last one costs.
"""

import argparse
import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable, receiver
from bench._steady import Stand, evenly, parts, ratios, until

from fleet import database, replica

SNAPSHOT = "SELECT count(*) FROM job_timers"


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    """Fire, with the transaction and before it."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        stand = Stand(ground, conn, [await stack.enter_async_context(replica(dsn))])
        first = await evenly(conn, url, jobs=asked.rate * asked.period, period=asked.period)
        await until(conn, first, seconds=asked.period)
        print("without the transaction:")
        (before,) = await parts(stand, seconds=asked.part, part=asked.part)
        old = await stack.enter_async_context(database(dsn))
        await old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await old.execute(SNAPSHOT)
        print("with it:")
        found = await parts(stand, seconds=asked.seconds, part=asked.part)
        await old.execute("ROLLBACK")
    print(f"last beside first: {ratios(found[-1], found[0])}")
    print(f"last beside without: {ratios(found[-1], before)}")


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="an old snapshot under load")
    given.add_argument("--rate", type=int, default=1000)
    given.add_argument("--seconds", type=float, default=600.0)
    given.add_argument("--period", type=int, default=60, help="seconds between two fires of a job")
    given.add_argument("--part", type=float, default=60.0)
    asked = given.parse_args()
    with durable() as ground, receiver() as url:
        asyncio.run(measure(ground, url, asked))


if __name__ == "__main__":
    main()
