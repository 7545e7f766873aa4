"""What counting costs: microseconds a fire, against the processor time of a whole fire.

    python bench/metrics.py [--jobs N] [--over SECONDS]

First the two events of a fire are told to the counters alone, by the batch as they come, then a
replica sends the jobs. The processor time of the replica is its own metric, read before and after.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fleet import all_ended, database, replica, schedule
from scheduler_svc.domain.events import EventName, OnEvents, T
from scheduler_svc.store import embedded, migrate
from scheduler_svc.telemetry.events import fan_out_all
from scheduler_svc.telemetry.tally import Tally
from scraping import scrape
from sink import sinking

TOLD = 200_000
ROUNDS = 5
BATCH = 100


def counting() -> float:
    """Return the microseconds that a second listener, the counters, adds to a fire."""
    return _fire(fan_out_all(_ignore, Tally().hear_all)) - _fire(fan_out_all(_ignore))


def _ignore(_name: EventName, _told: Sequence[T], _fields: Callable[[T], dict[str, Any]]) -> None:
    """Listen to nothing."""


def _fire(tell: OnEvents) -> float:
    """Return the microseconds of telling a fire, the best of some rounds."""
    run, job = uuid4(), uuid4()
    started: dict[str, Any] = {"run_id": run, "job_id": job, "attempt": 1, "scheduled_for": None}
    started["trigger"] = "schedule"
    ended: dict[str, Any] = {
        "run_id": run,
        "job_id": job,
        "attempt": 1,
        "outcome": "ok",
        "status_code": 200,
        "reason": None,
        "duration_ms": 21.5,
        "lateness_ms": 2,
        "trigger": "schedule",
    }
    best = float("inf")
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(TOLD // ROUNDS // BATCH):
            tell(EventName.RUN_STARTED, [started] * BATCH, dict)
            tell(EventName.RUN_SUCCEEDED, [ended] * BATCH, dict)
        best = min(best, (process_time() - began) / (TOLD // ROUNDS))
    return best * 1e6


async def firing(dsn: str, asked: argparse.Namespace) -> tuple[float, float, float]:
    """Return a fire's processor time in microseconds, a scrape's, and a scrape's milliseconds."""
    await migrate.migrate(dsn)
    async with sinking() as sink, replica(dsn) as one, database(dsn) as ledger:
        base = one.url("")
        before = (await scrape(base)).total("scheduler_process_cpu_seconds_total")
        await schedule(
            ledger, sink.url(), jobs=asked.jobs, begin_seconds=2, over_seconds=asked.over
        )
        await all_ended(ledger, jobs=asked.jobs, seconds=asked.over + 60)
        page = await scrape(base)
        assert page.total("scheduler_fires_total") == asked.jobs
        after = page.total("scheduler_process_cpu_seconds_total")
        began = perf_counter()
        for _ in range(50):
            page = await scrape(base)
        took_ms = (perf_counter() - began) * 1000 / 50
        scrapes = page.total("scheduler_process_cpu_seconds_total") - after
    return (after - before) * 1e6 / asked.jobs, scrapes * 1e6 / 50, took_ms


def main() -> None:
    """Measure both and print their ratio."""
    given = argparse.ArgumentParser(description="the cost of counting")
    given.add_argument("--jobs", type=int, default=10_000)
    given.add_argument("--over", type=float, default=10.0)
    asked = given.parse_args()
    with ExitStack() as stack:
        address = os.environ.get("DATABASE_URL")
        dsn = address or stack.enter_context(embedded.throw_away()).dsn
        fire, scraped, took_ms = asyncio.run(firing(dsn, asked))
    counted = counting()
    print(
        f"counting {counted:.2f} us of {fire:.0f} us of processor a fire:"
        f" {100 * counted / fire:.2f} %; a scrape {scraped / 1000:.1f} ms of processor,"
        f" {took_ms:.1f} ms in all"
    )


if __name__ == "__main__":
    main()
