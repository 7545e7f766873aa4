"""The API as its callers meet it: the real application on the real database, and on a socket."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from scheduler_svc.api.context import (
    Access,
    Check,
    Checks,
    Deps,
    EngineCheck,
    Failure,
    Readiness,
)
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.store.job_create import JobCreates
from scheduler_svc.store.job_reads import JobReads
from scheduler_svc.store.pool import Pool
from sealing import RING

READY = Readiness(
    status="ok",
    checks=Checks(
        database=Check(status="ok"),
        schema=Check(status="ok"),
        engine=EngineCheck(status="ok", last_tick_age_ms=5),
    ),
    versions={"scheduler-svc": "0.1.0"},
)


class Clock:
    """The database's clock as the API reads it; stands where a test puts it."""

    def __init__(self) -> None:
        self.ms: int | None = None

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 if self.ms is None else self.ms


class Records:
    """What the API told of its requests."""

    def __init__(self) -> None:
        self.requests: list[Access] = []
        self.failures: list[Failure] = []
        self.answered = asyncio.Event()

    def request(self, record: Access) -> None:
        self.requests.append(record)
        self.answered.set()


def lend(pool: Pool, clock: Clock, records: Records) -> Deps:
    """What the process would lend to the API, in the development profile."""

    async def ready() -> Readiness:
        return READY

    return Deps(
        pool=pool,
        reads=JobReads(pool),
        creates=JobCreates(pool),
        now_ms=clock,
        random_bytes=os.urandom,
        egress=EgressRules.parse(allow=["127.0.0.0/8", "[::1]", "localhost"]),
        ready=ready,
        version="0.1.0",
        ring=RING,
        callbacks=Callbacks(url="http://127.0.0.1:8080", keys=(b"k" * 32,)),
        on_request=records.request,
        on_failure=records.failures.append,
    )


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The application behind the real server, on a real socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # asyncio leaves Nagle's algorithm on for a socket made so: 40 ms for each answer.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
