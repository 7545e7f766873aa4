"""A route as a value: what it takes, what it answers, who handles it.

Both the router and the OpenAPI document are made from these; what is not said here does not exist.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Literal

from msgspec import Struct

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.domain.access import Scope
from scheduler_svc.domain.limits import Budget

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MERGE_PATCH = "application/merge-patch+json"
BODY_MAX = 1024 * 1024
BULK_BODY_MAX = 32 * 1024 * 1024

OPEN_PATHS = (
    *("/healthz", "/readyz", "/openapi.json", "/.well-known/"),
    *("/runs/{id}/complete", "/runs/{id}/heartbeat"),  # these have a token of the run's own
)
"""What asks for no credentials, beside pages that hold no data of their own."""
SCOPES_OF_TAG: Mapping[str, tuple[Scope, Scope]] = {
    "jobs": ("jobs:read", "jobs:write"),
    "runs": ("runs:read", "runs:write"),
    "backfills": ("runs:read", "jobs:write"),
    "replays": ("runs:read", "runs:write"),
    "concurrency keys": ("jobs:read", "jobs:write"),
    "schedules": ("jobs:read", "jobs:read"),
    "events": ("events:read", "admin"),
}
"""What reading needs and what changing needs; trying a schedule out changes nothing."""
Handler = Callable[[Call], Awaitable[Reply]]


class QueryParam(Struct, frozen=True, kw_only=True):
    """A query parameter: `type` is an annotated int, bool, str, datetime, UUID or Literal.

    A `repeated` one may be given several times and arrives as a list; `default` then is [].
    """

    name: str
    type: Any = str
    default: Any = None
    repeated: bool = False
    required: bool = False
    description: str = ""
    example: Any = None


class HeaderParam(Struct, frozen=True, kw_only=True):
    """A request header the operation heeds; always text and never required."""

    name: str
    description: str
    length_max: int = 4096


class Patch(Struct, frozen=True):
    """In place of a body's type: a merge patch of that type."""

    of: Any


class Body(Struct, frozen=True, kw_only=True):
    """A JSON request body: its type as documented, its media types, its greatest length in bytes.

    `examples` are whole bodies by name. An optional body may be left out, with its Content-Type.
    """

    type: Any
    required: bool = True
    media_types: tuple[str, ...] = (JSON,)
    length_max: int = BODY_MAX
    examples: Mapping[str, Any] = {}
    forms: bool = False  # forms of our own pages are taken too; the document is for programs


class Answer(Struct, frozen=True, kw_only=True):
    """A documented answer: `type` None has no body, a tuple of types is one of them.

    `headers` are names with descriptions. Of an answer that is text, `type` is what the text holds.
    """

    description: str
    type: Any = None
    media_type: str = JSON
    headers: Mapping[str, str] = {}
    example: Any = None


class Route(Struct, frozen=True, kw_only=True, dict=True):
    """One operation. `problems` lists refusals beyond those the frame itself may answer with.

    The frame adds 400, 413, 415 (with a body), 422 (with a body or parameters), 421, 500, 503.
    HEAD comes with every GET.
    """

    method: str
    path: str
    handler: Handler
    operation_id: str
    summary: str
    tag: str
    answers: Mapping[int, Answer]
    description: str = ""
    params: tuple[QueryParam, ...] = ()
    headers: tuple[HeaderParam, ...] = ()
    body: Body | None = None
    problems: tuple[int, ...] = ()
    security: tuple[str, ...] = ()  # schemes of the OpenAPI document, one of which is asked for
    hidden: bool = False  # a route that the OpenAPI document leaves out
    idempotent: bool | None = None
    """Whether it honours an Idempotency-Key; None: where a POST answers 201 or 202."""

    standby: bool = False
    """Whether it only reads, so that a standby that has caught up may be read in its place."""
    scope: Scope | Literal["open"] | None = None
    """What a caller must have; `open` asks for no credentials; None: by tag and method."""

    @cached_property
    def needs(self) -> Scope | Literal["open"]:
        """Return the scope that a caller must have. What nobody thought of is for `admin`."""
        if self.scope is not None:
            return self.scope
        if self.tag == "pages" or self.path.startswith(OPEN_PATHS):
            return "open"
        read, write = SCOPES_OF_TAG.get(self.tag, ("admin", "admin"))
        return read if self.method == "GET" else write

    @cached_property
    def budget(self) -> Budget:
        """Return what of a caller's requests this is counted under."""
        if self.path.startswith(("/jobs/bulk", "/jobs/apply")):
            return "bulk"
        return "reads" if self.method == "GET" or self.needs.endswith(":read") else "writes"

    @cached_property
    def unasked(self) -> Mapping[str, Any] | None:
        """Return the values of its parameters where a request names none; None where it must."""
        if any(param.required for param in self.params):
            return None
        return {
            param.name: [] if param.repeated and param.default is None else param.default
            for param in self.params
        }

    @cached_property
    def takes_key(self) -> bool:
        """Tell whether the route honours an Idempotency-Key; its handler keeps its answers."""
        if self.idempotent is not None:
            return self.idempotent
        return self.method == "POST" and bool({201, 202} & set(self.answers))

    @property
    def refusals(self) -> set[int]:
        """Return the statuses of refusals that the route documents for itself."""
        return {*self.problems, *({409} if self.takes_key else ())}


IF_MATCH = HeaderParam(
    name="If-Match", description="Only where the job still has one of these ETags."
)
IDEMPOTENCY_KEY = HeaderParam(
    name="Idempotency-Key",
    description=(
        "A word of your choice, such as a UUID: within 24 hours the same request under it is made"
        " once, and answered as it was the first time."
    ),
    length_max=255,
)
IF_NONE_MATCH = HeaderParam(
    name="If-None-Match", description="Only where the job has none of these ETags."
)
