"""What a handler is given and what it gives back.

`Deps` is what the process lends to the API, `Call` one request already judged by the frame (route
found, query parsed, body read), `Reply` the answer as a value. Nothing here does anything.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.datastructures import Headers

from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.events import OnEvent, ignore
from scheduler_svc.domain.incidents import no_rules
from scheduler_svc.domain.jobs import Alerts
from scheduler_svc.store.pool import Pool


class EngineCheck(Struct, frozen=True, kw_only=True):
    """How long ago the engine passed over the due work; null where this replica runs none."""

    status: str
    last_tick_age_ms: int | None = None


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


class Failure(Struct, frozen=True, kw_only=True):
    """A request that ended by an error of ours, or by the database being away."""

    request_id: str
    method: str
    path: str
    error: Exception
    unavailable: bool


def _ignore(_record: Any) -> None:
    """Take no notice."""


class Deps(Struct, frozen=True, kw_only=True):
    """What the process lends to the API; `now_ms` is the database's clock in epoch milliseconds."""

    pool: Pool
    now_ms: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    egress: EgressRules
    ready: Callable[[], Awaitable[Readiness]]
    version: str
    namespace: str = "default"
    lookahead_ms: int = 1000
    loopback_only: bool = True
    public_url: str | None = None
    callbacks: Callbacks = Callbacks()
    namespace_alerts: Callable[[str], Alerts | None] = no_rules
    on_request: Callable[[Access], None] = _ignore
    on_failure: Callable[[Failure], None] = _ignore
    on_event: OnEvent = ignore


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


class Reply(Struct, frozen=True, kw_only=True):
    """An answer: `body` is anything msgspec can encode; with `bytes` it is sent as it is."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    media_type: str = "application/json"
