"""What a handler is given and what it gives back.

`Deps` is what the process lends to the API, `Call` one request already judged by the frame (route
found, query parsed, body read), `Reply` the answer as a value. Nothing here does anything.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from msgspec import Struct, field
from starlette.datastructures import Headers

from scheduler_svc.api.feed import Feed
from scheduler_svc.api.herd import Herds
from scheduler_svc.api.job_shown import Shown
from scheduler_svc.api.known_rules import KnownRules
from scheduler_svc.api.sessions import Live
from scheduler_svc.domain.access import ANYONE, Caller
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.duration import MILLISECONDS_MAX
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import OnEvent, ignore
from scheduler_svc.domain.incidents import no_rules
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.domain.limits import Budget
from scheduler_svc.domain.quotas import NO_QUOTAS, Quotas
from scheduler_svc.domain.spans import OnSpan, SpanContext
from scheduler_svc.store.idempotency import Token
from scheduler_svc.store.job_create import JobCreates
from scheduler_svc.store.job_reads import JobReads
from scheduler_svc.store.pool import Pool
from scheduler_svc.store.standby import Standby
from scheduler_svc.store.vault import KeyRing


class EngineCheck(Struct, frozen=True, kw_only=True):
    """How long ago the engine passed over the due work; null where this replica runs none."""

    status: str
    last_tick_age_ms: int | None = None
    namespaces_held: int = 0
    """Namespaces that fire nothing until somebody says what becomes of what they missed."""


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that readiness looked at: `ok` or `failed`, and what is wrong."""

    status: str
    detail: str | None = None


class Checks(Struct, frozen=True, kw_only=True):
    """What readiness looks at."""

    database: Check
    schema: Check
    engine: EngineCheck


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether this replica may be sent requests, and on what grounds."""

    status: str
    checks: Checks
    versions: dict[str, str]


class Access(Struct, frozen=True, kw_only=True):
    """One answered request, for the access log and metrics; `route` is the path's template."""

    request_id: str
    method: str
    path: str
    route: str | None
    status: int
    duration_ms: float
    peer: str | None
    trace_id: str | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """A request that ended by an error of ours, or by the database being away."""

    request_id: str
    method: str
    path: str
    error: Exception
    unavailable: bool
    trace_id: str | None = None


class Session(Protocol):
    """Knows the sessions of browsers."""

    most_seconds: int

    async def begin_with(self, key: str) -> str:
        """Begin a session for a key that was judged; return its token."""

    async def find(self, token: str) -> Live:
        """Return the session of a token; raise Unauthenticated."""

    async def end(self, token: str) -> None:
        """End a session."""


class Gatekeeper(Protocol):
    """Tells who makes a request."""

    @property
    def sessions(self) -> Session | None:
        """Return what knows sessions, where there are any."""

    async def caller(
        self, headers: Headers, peer: str | None, session: str | None = None
    ) -> Caller:
        """Return the caller, by header or session; raise Unauthenticated."""

    async def admit_key(self, key: str, peer: str | None) -> Caller:
        """Return whom a key stands for that somebody logs in with; raise Unauthenticated."""

    def remembers(self, headers: Headers, session: str | None = None) -> bool:
        """Tell whether these credentials were accepted here a while ago, or are none."""


class Meter(Protocol):
    """Counts what callers ask for."""

    async def admit(self, client: str, budget: Budget) -> dict[str, str]:
        """Let a request pass and return the fields of its answer; raise RateLimited."""

    async def check(self, client: str, budget: Budget) -> None:
        """Raise RateLimited where nothing is left, without taking anything."""


async def _no_metrics(_accept: str) -> tuple[bytes, str]:
    """Have nothing to tell: for tests that do not ask."""
    return b"", "text/plain; version=0.0.4; charset=utf-8"


async def stays() -> None:
    """Let stay who came in."""


def _never(_namespace: str) -> bool:
    """Hold nothing."""
    return False


def _ignore(_record: Any) -> None:
    """Take no notice."""


def _unnamed(_request_id: str, _trace_id: str | None) -> AbstractContextManager[None]:
    """Name nothing."""
    return nullcontext()


class Trace(Struct):
    """The place of a request in a trace: its own span, and the runs that it asked for."""

    context: SpanContext
    parent: SpanContext | None = None
    links: list[SpanContext] = []


class Deps(Struct, frozen=True, kw_only=True):
    """What the process lends to the API; `now_ms` is the database's clock in epoch milliseconds."""

    pool: Pool
    reads: JobReads
    creates: JobCreates
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    egress: EgressRules
    ready: Callable[[], Awaitable[Readiness]]
    version: str
    namespace: str = "default"
    gate: Gatekeeper | None = None
    """Asks for credentials; without one anybody may do everything."""
    meter: Meter | None = None
    """Counts requests; without one nobody is limited."""
    lookahead_ms: int = 1000
    loopback_only: bool = True
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose word counts for who is asking, and over what."""
    cors_origins: tuple[str, ...] = ()
    public_url: str | None = None
    ring: KeyRing | None = None
    callbacks: Callbacks = Callbacks()
    quotas: Quotas = NO_QUOTAS
    """Those of a namespace that does not set its own."""
    namespace_alerts: Callable[[str], Alerts | None] = no_rules
    held: Callable[[str], bool] = _never
    """Tells whether a namespace was held as of the last heartbeat."""
    retention_max_ms: int = MILLISECONDS_MAX
    rules: KnownRules = field(default_factory=KnownRules)
    """Those of namespaces, as they were last read."""
    shown: Shown = field(default_factory=Shown)
    """Jobs as they were answered a moment ago."""
    herds: Herds = field(default_factory=Herds)
    """How many jobs were counted in a minute a moment ago."""
    on_request: Callable[[Access], None] = _ignore
    on_failure: Callable[[Failure], None] = _ignore
    on_event: OnEvent = ignore
    on_span: OnSpan | None = None
    """Takes spans, where somebody traces."""
    trace_least: int = 0
    """What the random part of a trace id must reach to be sampled (`domain/spans.py`)."""
    naming: Callable[[str, str | None], AbstractContextManager[None]] = _unnamed
    """Gives all that is logged within it the ids of the request and of its trace."""
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]] = _no_metrics
    """Gives the page of metrics and its media type for an Accept header."""
    standby: Standby | None = None
    """What lists and history are read from, where there is one."""
    feed: Feed | None = None
    """What those who watch are shown."""


class Call(Struct, frozen=True, kw_only=True):
    """One request: `query` holds a value, parsed or default, for every parameter of the route."""

    deps: Deps
    request_id: str
    namespace: str
    method: str
    url_path: str
    path: dict[str, str]
    query: dict[str, Any]
    query_string: str
    headers: Headers
    body: bytes
    caller: Caller = ANYONE
    scheme: str = "http"
    peer: str | None = None
    """Where the request came from; behind a trusted proxy what that says."""
    trace: Trace | None = None
    token: Token | None = None
    """The idempotency key that the request is made under."""
    again: Callable[[], Awaitable[object]] = stays
    """Judges the credentials anew; raises Unauthenticated. For answers that take long."""


class Reply(Struct, frozen=True, kw_only=True):
    """An answer: `body` is anything msgspec can encode; with `bytes` it is sent as it is.

    A `stream` is sent piece by piece in place of a body, until it ends or the caller leaves.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    media_type: str = "application/json"
    stream: AsyncGenerator[bytes, None] | None = None
