"""APScheduler 3, AsyncIOScheduler with SQLAlchemyJobStore: `with_apscheduler.py DSN URL JOBS`.

misfire_grace_time=None, or most of a burst would be dropped as misfired.
"""

import sys
import time
from datetime import UTC, datetime

import uvloop
from _calling import Calls, ready
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import create_engine

AHEAD_SECONDS, SECONDS_A_JOB = 5.0, 0.008
shared: dict[str, Calls] = {}


async def call() -> None:
    """A job of the store names a function, and can not bring what it needs."""
    await shared["calls"].call()


async def main(dsn: str, url: str, jobs: int) -> None:
    calls = shared["calls"] = Calls(url, jobs)
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    scheduler = AsyncIOScheduler(
        jobstores={"default": SQLAlchemyJobStore(engine=engine)},
        job_defaults={"misfire_grace_time": None},
        timezone=UTC,
    )
    scheduler.start(paused=True)
    at = time.time() + AHEAD_SECONDS + jobs * SECONDS_A_JOB
    due = datetime.fromtimestamp(at, UTC)
    for number in range(jobs):
        scheduler.add_job(call, "date", run_date=due, id=str(number))
    ready(at)
    scheduler.resume()
    await calls.told(at)
    scheduler.shutdown(wait=False)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
