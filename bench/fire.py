"""Where the processor time of a fire goes in this process: claim, send, settle, and by function.

    python bench/fire.py [--fires N] [--rounds N] [--profile FILE]

The pieces of one replica, moved by hand, on a durable server and a receiver in C: no loop of
upkeep runs beside them. Every job is new to the replica, so claiming includes reading it. The
figures are CPU of this process alone, medians over the rounds. `--profile` writes a table by
function (cProfile, which triples the time: read shares); bench/fire.txt is one.
"""

import argparse
import cProfile
import io
import pstats
import re
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import process_time

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable
from bench._ground import receiver as fast_receiver

from counting import due, fire
from receiver import receiving
from rig import Rig, attempts, rigged
from scheduler_svc.engine import dispatch
from scheduler_svc.store.pool import BY_KEY, close_pool, open_pool

STAGES = ("claim", "send", "settle")
BUDGET = {"claim": 20.0, "send": 55.0, "settle": 10.0}
WARM = 300
ROWS = 60


async def staged(rig: Rig, url: str, fires: int) -> list[float]:
    """Fire once, and return the microseconds a fire of each stage."""
    await due(rig, url, jobs=fires)
    rig.events.clear()
    at = [process_time()]
    await rig.tick()
    at.append(process_time())
    async with attempts(rig.parts) as tasks:
        dispatch.start_due(rig.parts, rig.outbox, tasks)
    at.append(process_time())
    await rig.settle()
    at.append(process_time())
    return [(late - early) * 1e6 / fires for early, late in pairwise(at)]


async def profiled(rig: Rig, url: str, fires: int) -> str:
    """Fire once under the profiler, and return its table."""
    await due(rig, url, jobs=fires)
    with cProfile.Profile(process_time) as profile:
        await fire(rig)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(ROWS)
    return re.sub(
        r"/\S+/(?=scheduler_svc/|asyncpg/|lib/python|asyncio/|tests/)", "", text.getvalue()
    )


async def measure(ground: Ground, url: str, asked: argparse.Namespace) -> None:
    async with a_database(ground) as dsn:
        pool = await open_pool(dsn, application_name="bench", planner=BY_KEY)
        async with receiving() as unused, rigged(pool, unused, slots=asked.fires) as rig:
            await due(rig, url, jobs=WARM)
            await fire(rig)
            rounds = [await staged(rig, url, asked.fires) for _ in range(asked.rounds)]
            if asked.profile:
                asked.profile.write_text(await profiled(rig, url, asked.fires))
        await close_pool(pool)
    middle = dict(zip(STAGES, map(median, zip(*rounds, strict=True)), strict=True))
    least = dict(zip(STAGES, map(min, zip(*rounds, strict=True)), strict=True))
    for name in STAGES:
        print(
            f"{name:7} {middle[name]:6.1f} us ({least[name]:.1f} at least)   budget {BUDGET[name]}"
        )
    print(f"{'fire':7} {sum(middle.values()):6.1f} us ({sum(least.values()):.1f} at least)")


def main() -> None:
    """Measure, and print."""
    given = argparse.ArgumentParser(description="the processor time of a fire")
    given.add_argument("--fires", type=int, default=1000)
    given.add_argument("--rounds", type=int, default=11)
    given.add_argument("--profile", type=Path)
    asked = given.parse_args()
    with durable() as ground, fast_receiver() as url:
        uvloop.run(measure(ground, url, asked))


if __name__ == "__main__":
    main()
