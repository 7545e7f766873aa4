"""PgQueuer, batches of 250: `with_pgqueuer.py DSN URL JOBS`."""

import asyncio
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from _calling import Calls, ready
from pgqueuer import AsyncpgPoolDriver, Job, PgQueuer, Queries

AHEAD_SECONDS, SECONDS_A_JOB, BATCH = 4.0, 0.0005, 250


async def main(dsn: str, url: str, jobs: int) -> None:
    calls = Calls(url, jobs)
    pool = await asyncpg.create_pool(dsn, min_size=2, max_size=10)
    queries = Queries(AsyncpgPoolDriver(pool))
    await queries.install()
    at = time.time() + AHEAD_SECONDS + jobs * SECONDS_A_JOB
    for begin in range(0, jobs, 1000):
        count = min(1000, jobs - begin)
        after = timedelta(seconds=at - time.time())
        await queries.enqueue(["call"] * count, [None] * count, [0] * count, [after] * count)
    queue = PgQueuer(AsyncpgPoolDriver(pool))

    @queue.entrypoint("call")
    async def call(_job: Job) -> None:
        await calls.call()

    ready(at)
    working = asyncio.ensure_future(
        queue.run(batch_size=BATCH, dequeue_timeout=timedelta(milliseconds=100))
    )
    await calls.told(at)
    queue.shutdown.set()
    await working
    await pool.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
