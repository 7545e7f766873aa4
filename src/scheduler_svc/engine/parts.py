"""What the engine's loops share: built once by the wiring, passed down as one value."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import msgspec

from scheduler_svc.delivery.sender import Sender
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.events import OnEvent, OnEvents
from scheduler_svc.domain.incidents import no_rules
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.spans import OnSpan
from scheduler_svc.engine.alarm import Alarm
from scheduler_svc.engine.clock import Clock
from scheduler_svc.engine.hand import Hand
from scheduler_svc.engine.holding import KnownHolds
from scheduler_svc.engine.jobs import KnownJobs
from scheduler_svc.engine.lease import Lease
from scheduler_svc.engine.namespaces import KnownNamespaces
from scheduler_svc.engine.pressure import Pressure
from scheduler_svc.engine.secrets import KnownSecrets
from scheduler_svc.store.glance import ALL, Duty
from scheduler_svc.store.pool import Pool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's settings, in milliseconds and counts."""

    lookahead_ms: int = 1000
    poll_ms: int = 5000
    batch: int = 500
    capture_max: int = 8192
    database_seconds: float = 5.0
    hold_after_ms: int = 0
    """Away for longer than this, everything that was missed is held; 0: nothing ever is."""
    trace_least: int = 0
    """What the random part of a trace id must reach to be sampled (`domain/spans.py`)."""


class Glance(msgspec.Struct):
    """What the database said there is to do, and when it was asked (`engine/glance.py`)."""

    found: frozenset[Duty] = ALL
    asked_at: float = float("-inf")
    asking: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    bells: list[tuple[frozenset[Duty], Alarm]] = msgspec.field(default_factory=list)
    """What is rung when a look finds one of these."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's tools; `rand` gives numbers in [0, 1), `random_bytes` so many bytes.

    `namespace_alerts` is whom a namespace tells about jobs that name nobody themselves.
    """

    replica: UUID
    pool: Pool
    clock: Clock
    lease: Lease
    hand: Hand
    pressure: Pressure
    jobs: KnownJobs
    secrets: KnownSecrets
    sender: Sender
    limits: Limits
    on_event: OnEvent
    on_events: OnEvents
    """Takes the same by the batch."""
    on_span: OnSpan | None = None
    """Takes spans, where somebody traces."""
    rand: Callable[[], float]
    random_bytes: Callable[[int], bytes]
    callbacks: Callbacks = Callbacks()
    namespace_alerts: Callable[[str], Alerts | None] = no_rules
    to_claim: Alarm
    to_send: Alarm
    to_settle: Alarm
    slots_free: Alarm = msgspec.field(default_factory=Alarm)
    """Rung where somebody had no room and slots come free: a pass may wait for that."""
    to_mend: Alarm = msgspec.field(default_factory=Alarm)
    namespaces: KnownNamespaces = msgspec.field(default_factory=KnownNamespaces)
    holds: KnownHolds = msgspec.field(default_factory=KnownHolds)
    glance: Glance = msgspec.field(default_factory=Glance)

    name: str = ""
    """The replica as records name it: written once."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "name", str(self.replica))
