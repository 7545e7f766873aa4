"""The parts of a replica, built in order and closed in reverse.

Only wiring: each line makes one thing from settings and the things above it.
"""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from scheduler_svc.api.context import Access, Deps, Failure
from scheduler_svc.api.feed import Feed
from scheduler_svc.api.gate import Gate
from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.drift import DriftRefused
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import EventName, OnEvent, OnEvents
from scheduler_svc.domain.spans import OnSpan, threshold
from scheduler_svc.domain.zones import tzdata_version
from scheduler_svc.engine import drift, history
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.clock import DatabaseClock
from scheduler_svc.engine.hand import Hand
from scheduler_svc.engine.jobs import KnownJobs
from scheduler_svc.engine.lease import Lease
from scheduler_svc.engine.namespaces import KnownNamespaces
from scheduler_svc.engine.pace import Pace
from scheduler_svc.engine.parts import Limits, Parts
from scheduler_svc.engine.pressure import Pressure
from scheduler_svc.engine.run import Engine, Listener
from scheduler_svc.engine.secrets import KnownSecrets, Source
from scheduler_svc.engine.settle import Outbox
from scheduler_svc.engine.upkeep import Heart, beat
from scheduler_svc.service import admission, audit, completion, issuer, reading
from scheduler_svc.service.broadcast import FEED_SECONDS, Broadcast
from scheduler_svc.service.connect import CanNotStart, await_database, read_clock
from scheduler_svc.service.keeping import keeping
from scheduler_svc.service.key_ring import KeyFileRefused, key_ring
from scheduler_svc.service.pressure import pressure_rules
from scheduler_svc.service.quotas import default_quotas
from scheduler_svc.service.readiness import readiness
from scheduler_svc.service.spans import spans_to
from scheduler_svc.settings import Settings
from scheduler_svc.store.job_create import JobCreates
from scheduler_svc.store.job_reads import JobReads
from scheduler_svc.store.lineage import Lineage
from scheduler_svc.store.pool import Pool, close_pool
from scheduler_svc.store.replicas import Identity
from scheduler_svc.store.vault import KeyRing
from scheduler_svc.telemetry.logs import naming
from scheduler_svc.telemetry.scrape import Scrape
from scheduler_svc.telemetry.tally import Tally

DAY_SECONDS = 86_400
SECRETS_SECONDS, SECRETS_SECONDS_DEAF = 60.0, 3.0
"""How long secrets that were read count: a notice ends it earlier, where there are notices."""
NAME = "scheduler-svc"


class Built(msgspec.Struct, frozen=True):
    """A replica ready to run."""

    engine: Engine
    deps: Deps
    scrape: Scrape


@asynccontextmanager
async def assembled(
    settings: Settings,
    dsn: str,
    *,
    own: tuple[str, int],
    on_event: OnEvent,
    on_events: OnEvents,
    stop: asyncio.Event,
    tally: Tally,
    broadcast: Broadcast,
) -> AsyncIterator[Built | None]:
    """Build a replica; None where it was told to stop before the database answered."""
    ring = _ring(settings)
    async with AsyncExitStack() as stack:
        on_span = await stack.enter_async_context(spans_to(settings, on_event))
        lineage = Lineage()
        pools = await await_database(settings, dsn, on_event, stop, tally, lineage=lineage)
        if pools is None:
            yield None
            return
        api_pool, engine_pool = _closed_by(stack, pools)
        clock = DatabaseClock()
        await read_clock(engine_pool, clock)
        rules = EgressRules.parse(allow=settings.egress_allow, deny=settings.egress_deny, own=[own])
        sender = _sender(settings, rules)
        stack.push_async_callback(sender.close)
        parts = _parts(
            settings,
            pool=engine_pool,
            clock=clock,
            sender=sender,
            own=own,
            on_event=on_event,
            on_events=on_events,
            on_span=on_span,
            ring=ring,
        )
        gate = await _gate(settings, api_pool, clock, sender)
        feed = Feed(api_pool, clock.now_ms, poll_seconds=FEED_SECONDS)
        ears = broadcast.ears(gate, feed)
        name = f"{NAME} listen"
        listener = admission.listener(dsn, ears, application_name=name, lineage=lineage)
        engine = _engine(settings, parts, clock, listener if settings.listen else None)
        await _ready(engine, settings, clock)
        scrape = _scrape(settings, tally, engine, api_pool)
        deps = _deps(settings, engine, pool=api_pool, rules=rules)
        standby = reading.standby_of(settings, api_pool, on_event, stack)
        more = {"gate": gate, "ring": ring, "feed": feed, "standby": standby}
        lent = msgspec.structs.replace(deps, metrics=scrape.text, on_span=on_span, **more)
        yield Built(engine, lent, scrape)


def _closed_by(stack: AsyncExitStack, pools: tuple[Pool, Pool]) -> tuple[Pool, Pool]:
    for pool in reversed(pools):
        stack.push_async_callback(close_pool, pool)
    return pools


def _sender(settings: Settings, rules: EgressRules) -> Sender:
    return Sender(
        egress=rules,
        connections_per_origin=settings.connections_per_target,
        ca_file=settings.ca_file,
    )


def _scrape(settings: Settings, tally: Tally, engine: Engine, api_pool: Pool) -> Scrape:
    both = {"api": api_pool, "engine": engine.parts.pool}
    return Scrape(tally, engine, both, replicas_wanted=settings.replicas_wanted)


def _ring(settings: Settings) -> KeyRing | None:
    try:
        return key_ring(settings)
    except KeyFileRefused as refused:
        raise CanNotStart(str(refused)) from refused


async def _ready(engine: Engine, settings: Settings, clock: DatabaseClock) -> None:
    """Do what comes before anything is claimed: see that no job has moved, make days, beat once."""
    parts = engine.parts
    try:
        await drift.guard(parts, most=settings.drift_max, accept=settings.accept_drift)
    except DriftRefused as refused:
        raise CanNotStart(str(refused)) from refused
    await history.make_days(parts, ahead=engine.keeping.ahead)
    await parts.namespaces.load(parts.pool)
    await beat(parts, engine.heart, clock, Outbox(parts))


async def _gate(settings: Settings, pool: Pool, clock: DatabaseClock, sender: Sender) -> Gate:
    """Build what asks for credentials; refuse where nobody could have any."""
    if (reason := await admission.reason_to_refuse(settings, pool, clock)) is not None:
        raise CanNotStart(reason)
    return admission.gate_of(settings, pool, clock, issuer.tokens_of(settings, sender, clock))


def _parts(
    settings: Settings,
    *,
    pool: Pool,
    clock: DatabaseClock,
    sender: Sender,
    own: tuple[str, int],
    on_event: OnEvent,
    on_events: OnEvents,
    on_span: OnSpan | None,
    ring: KeyRing | None,
) -> Parts:
    namespaces = KnownNamespaces(default_quotas(settings))
    return Parts(
        replica=uuid4(),
        pool=pool,
        clock=clock,
        lease=Lease(clock, seconds=settings.lease),
        hand=Hand(settings.slots, traced=on_span is not None),
        pressure=Pressure(pressure_rules(settings)),
        namespaces=namespaces,
        namespace_alerts=namespaces.alerts,
        jobs=KnownJobs(version=version(NAME), ring=ring, public_url=settings.public_url),
        secrets=KnownSecrets(
            Source(
                pool=pool,
                ring=ring,
                now_ms=clock.now_ms,
                monotonic=clock.monotonic,
                age_seconds=SECRETS_SECONDS if settings.listen else SECRETS_SECONDS_DEAF,
                public_url=settings.public_url,
            )
        ),
        sender=sender,
        limits=_limits(settings),
        on_event=on_event,
        on_events=on_events,
        on_span=on_span,
        rand=random.random,
        random_bytes=os.urandom,
        callbacks=completion.callbacks(settings, own),
        to_claim=Alarm(),
        to_send=Alarm(),
        to_settle=Alarm(),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        lookahead_ms=int(settings.lookahead * 1000),
        poll_ms=int(settings.poll * 1000) if settings.listen else 1000,
        batch=settings.claim_batch,
        capture_max=settings.capture_bytes,
        hold_after_ms=int(settings.hold_after * 1000),
        trace_least=threshold(settings.trace_sample),
    )


def _engine(
    settings: Settings, parts: Parts, clock: DatabaseClock, listener: Listener | None
) -> Engine:
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
        listener=listener,
        claims=settings.role != "api",
        keeping=keeping(settings),
        retention_days=max(1, int(settings.retention // DAY_SECONDS)),
        grace_seconds=settings.grace_time,
        audited=audit.rules(settings),
    )


def _deps(settings: Settings, engine: Engine, *, pool: Pool, rules: EgressRules) -> Deps:
    clock, on_event = engine.clock, engine.parts.on_event

    def on_request(access: Access) -> None:
        on_event(EventName.API_REQUEST, **msgspec.structs.asdict(access))

    def on_failure(failure: Failure) -> None:
        on_event(EventName.API_FAILED, **msgspec.structs.asdict(failure))

    return Deps(
        pool=pool,
        reads=JobReads(pool),
        creates=JobCreates(pool),
        now_ms=clock.now_ms,
        random_bytes=os.urandom,
        egress=rules,
        ready=readiness(pool, engine, version=version(NAME)),
        version=version(NAME),
        meter=admission.meter_of(settings, pool),
        lookahead_ms=int(settings.lookahead * 1000),
        loopback_only=settings.profile == "development",
        trusted_proxies=settings.trusted_proxies,
        cors_origins=settings.cors_origins,
        public_url=settings.public_url,
        callbacks=engine.parts.callbacks,
        quotas=default_quotas(settings),
        namespace_alerts=engine.parts.namespace_alerts,
        held=engine.parts.holds.__contains__,
        retention_max_ms=engine.keeping.longest_ms,
        on_event=on_event,
        trace_least=engine.parts.limits.trace_least,
        naming=naming,
        on_request=on_request,
        on_failure=on_failure,
    )


def masked(dsn: str) -> str:
    """Show where a database is, and not how to get in."""
    parts = urlsplit(dsn)
    return f"{parts.hostname or 'local socket'}{parts.path}"
