"""The parts of a replica, built in order and closed in reverse.

Only wiring: each line makes one thing from settings and the things above it.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from scheduler_svc.api.context import Access, Deps, Failure
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.drift import DriftRefused
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName, OnEvent
from scheduler_svc.domain.zones import tzdata_version
from scheduler_svc.engine import drift
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.hand import Hand
from scheduler_svc.engine.jobs import KnownJobs
from scheduler_svc.engine.lease import Lease
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Limits, Parts
from scheduler_svc.engine.pressure import Pressure
from scheduler_svc.engine.run import Engine, Listener
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.engine.upkeep import Heart, beat, keep_days
from scheduler_svc.service import completion
from scheduler_svc.service.pressure import pressure_rules
from scheduler_svc.service.readiness import readiness
from scheduler_svc.settings import Settings
from scheduler_svc.store import migrate, notices
from scheduler_svc.store.pool import (
    BY_KEY,
    Pool,
    close_pool,
    connection,
    is_database_away,
    open_pool,
)
from scheduler_svc.store.replicas import Identity, database_now

ENGINE_POOL = 6
READINGS = 5
WAIT_SECONDS_MAX = 5.0
DAY_SECONDS = 86_400
NAME = "scheduler-svc"


class CanNotStart(Exception):
    """The service can not start with what it was given; the text says why."""


class Built(msgspec.Struct, frozen=True):
    """A replica ready to run."""

    engine: Engine
    deps: Deps


@asynccontextmanager
async def assembled(
    settings: Settings,
    dsn: str,
    *,
    own: tuple[str, int],
    on_event: OnEvent,
    rand: Callable[[], float],
    stop: asyncio.Event,
) -> AsyncIterator[Built | None]:
    """Build a replica; None where it was told to stop before the database answered."""
    async with AsyncExitStack() as stack:
        pools = await _await_database(settings, dsn, on_event, stop)
        if pools is None:
            yield None
            return
        for pool in pools:
            stack.push_async_callback(close_pool, pool)
        api_pool, engine_pool = pools
        clock = DatabaseClock()
        await _read_clock(engine_pool, clock)
        rules = EgressRules.parse(allow=settings.egress_allow, own=[own])
        sender = Sender(
            egress=rules,
            connections_per_origin=settings.connections_per_target,
            ca_file=settings.ca_file,
        )
        stack.push_async_callback(sender.close)
        parts = _parts(
            settings,
            pool=engine_pool,
            clock=clock,
            sender=sender,
            own=own,
            on_event=on_event,
            rand=rand,
        )
        engine = _engine(settings, dsn, parts, clock)
        await _guard(parts, settings)
        await keep_days(parts, ahead=engine.partitions_ahead, retention_days=engine.retention_days)
        await beat(parts, engine.heart, clock, Outbox(parts))
        deps = _deps(
            settings, pool=api_pool, clock=clock, rules=rules, engine=engine, on_event=on_event
        )
        yield Built(engine, deps)


async def _guard(parts: Parts, settings: Settings) -> None:
    """Judge, before anything is claimed, what other versions expected of the jobs."""
    try:
        await drift.guard(parts, most=settings.drift_max, accept=settings.accept_drift)
    except DriftRefused as refused:
        raise CanNotStart(str(refused)) from refused


async def _await_database(
    settings: Settings, dsn: str, on_event: OnEvent, stop: asyncio.Event
) -> tuple[Pool, Pool] | None:
    """Wait until the database answers and has our schema; refuse what waiting can not mend."""
    failures = 0
    while not stop.is_set():
        try:
            if settings.migrate_on_start:
                await migrate.migrate(dsn)
            return await _open(settings, dsn)
        except migrate.MigrationRefused as refused:
            raise CanNotStart(str(refused)) from refused
        except Exception as error:
            if not is_database_away(error):
                raise CanNotStart(f"the database refuses us: {error}") from error
            if not failures:
                on_event(EventName.DATABASE_AWAY, error=repr(error))
            failures += 1
            await Alarm().wait(min(WAIT_SECONDS_MAX, 0.1 * 2 ** min(failures, 10)))
    return None


async def _open(settings: Settings, dsn: str) -> tuple[Pool, Pool]:
    api_pool = await open_pool(
        dsn,
        application_name=f"{NAME} api",
        size_max=settings.pool_size,
        statement_cache_size=settings.statement_cache,
    )
    engine_pool = await open_pool(
        dsn,
        application_name=f"{NAME} engine",
        size_max=ENGINE_POOL,
        statement_cache_size=settings.statement_cache,
        planner=BY_KEY,
    )
    async with connection(engine_pool) as conn:
        fault = (await migrate.standing(conn)).fault
    if fault is not None:
        await close_pool(api_pool)
        await close_pool(engine_pool)
        raise CanNotStart(f"the database is {fault}")
    return api_pool, engine_pool


async def _read_clock(pool: Pool, clock: DatabaseClock) -> None:
    """Read the database's clock some times: the quickest answer gives the closest bound."""
    async with connection(pool) as conn:
        for _ in range(READINGS):
            sent = clock.monotonic()
            now = await database_now(conn)
            clock.observe(sent=sent, received=clock.monotonic(), now=now)


def _parts(
    settings: Settings,
    *,
    pool: Pool,
    clock: DatabaseClock,
    sender: Sender,
    own: tuple[str, int],
    on_event: OnEvent,
    rand: Callable[[], float],
) -> Parts:
    return Parts(
        replica=uuid4(),
        pool=pool,
        clock=clock,
        lease=Lease(clock, seconds=settings.lease),
        hand=Hand(settings.slots),
        pressure=Pressure(pressure_rules(settings)),
        jobs=KnownJobs(version=version(NAME)),
        sender=sender,
        limits=Limits(
            lookahead_ms=int(settings.lookahead * 1000),
            poll_ms=int(settings.poll * 1000) if settings.listen else 1000,
            batch=settings.claim_batch,
            capture_max=settings.capture_bytes,
        ),
        on_event=on_event,
        rand=rand,
        random_bytes=os.urandom,
        callbacks=completion.callbacks(settings, own),
        to_claim=Alarm(),
        to_send=Alarm(),
        to_settle=Alarm(),
    )


def _engine(settings: Settings, dsn: str, parts: Parts, clock: DatabaseClock) -> Engine:
    who = Identity(
        id=parts.replica,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version(NAME),
        tzdata=tzdata_version(),
        role=settings.role,
        slots=settings.slots if settings.role != "api" else 0,
    )
    return Engine(
        parts=parts,
        clock=clock,
        heart=Heart(who=who, seconds=settings.heartbeat, started_ms=clock.now_ms()),
        pace=Pace(),
        listener=_listener(dsn) if settings.listen else None,
        claims=settings.role != "api",
        partitions_ahead=settings.partitions_ahead,
        retention_days=max(1, int(settings.retention // DAY_SECONDS)),
        grace_seconds=settings.grace_time,
    )


def _listener(dsn: str) -> Listener:
    async def listen(heard: notices.Handler) -> None:
        await notices.listen(dsn, heard, application_name=f"{NAME} listen")

    return listen


def _deps(
    settings: Settings,
    *,
    pool: Pool,
    clock: DatabaseClock,
    rules: EgressRules,
    engine: Engine,
    on_event: OnEvent,
) -> Deps:
    def on_request(access: Access) -> None:
        on_event(EventName.API_REQUEST, **msgspec.structs.asdict(access))

    def on_failure(failure: Failure) -> None:
        on_event(EventName.API_FAILED, **msgspec.structs.asdict(failure))

    return Deps(
        pool=pool,
        now_ms=clock.now_ms,
        random_bytes=os.urandom,
        egress=rules,
        ready=readiness(pool, engine, version=version(NAME)),
        version=version(NAME),
        lookahead_ms=int(settings.lookahead * 1000),
        loopback_only=settings.profile == "development",
        public_url=settings.public_url,
        callbacks=engine.parts.callbacks,
        on_event=on_event,
        on_request=on_request,
        on_failure=on_failure,
    )


def masked(dsn: str) -> str:
    """Show where a database is, and not how to get in."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'local socket'}{parts.path}"
