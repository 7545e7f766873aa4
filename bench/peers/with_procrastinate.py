"""Procrastinate, its asynchronous worker with 100 at once: `with_procrastinate.py DSN URL JOBS`."""

import asyncio
import contextlib
import sys
import time
from datetime import UTC, datetime

import uvloop
from _calling import Calls, ready
from procrastinate import App, PsycopgConnector

AHEAD_SECONDS, SECONDS_A_JOB = 4.0, 0.002


async def main(dsn: str, url: str, jobs: int) -> None:
    calls = Calls(url, jobs)
    app = App(connector=PsycopgConnector(conninfo=dsn, min_size=2, max_size=10))

    @app.task(name="call")
    async def call() -> None:
        await calls.call()

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        at = time.time() + AHEAD_SECONDS + jobs * SECONDS_A_JOB
        due = call.configure(schedule_at=datetime.fromtimestamp(at, UTC))
        for begin in range(0, jobs, 500):
            await due.batch_defer_async(*[{} for _ in range(min(500, jobs - begin))])
        ready(at)
        working = asyncio.ensure_future(
            app.run_worker_async(
                concurrency=100, fetch_job_polling_interval=0.1, install_signal_handlers=False
            )
        )
        await calls.told(at)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
