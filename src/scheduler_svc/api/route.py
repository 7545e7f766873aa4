"""A route as a value: what it takes, what it answers, who handles it.

Both the router and the OpenAPI document are made from these; what is not said here does not exist.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from scheduler_svc.api.context import Call, Reply

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
BODY_MAX = 1024 * 1024
BULK_BODY_MAX = 32 * 1024 * 1024

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


class Answer(Struct, frozen=True, kw_only=True):
    """A documented answer: `type` None has no body, a tuple of types is one of them.

    `headers` are names with descriptions.
    """

    description: str
    type: Any = None
    media_type: str = JSON
    headers: Mapping[str, str] = {}
    example: Any = None


class Route(Struct, frozen=True, kw_only=True):
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


IF_MATCH = HeaderParam(
    name="If-Match", description="Only where the job still has one of these ETags."
)
IF_NONE_MATCH = HeaderParam(
    name="If-None-Match", description="Only where the job has none of these ETags."
)
