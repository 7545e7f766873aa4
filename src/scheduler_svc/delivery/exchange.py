"""The sender's whole vocabulary: the request it is given and the exchange it answers with.

Plain frozen values. Nothing here knows of jobs or runs, and no status is judged: a complete
response is `ok` whatever it says, and what it means for a run is decided above.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from scheduler_svc.delivery.trust import Trust
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.url import Url

# The sender's part of the attempt outcomes; the others are decided above.
ExchangeOutcome = Literal[
    "ok",
    "protocol_error",
    "timeout",
    "connect_error",
    "tls_error",
    "blocked",
    "too_large",
]

CAPTURE_MAX = 8192
CONNECT_SECONDS_MAX = 10.0
REDIRECTS_MAX = 5


class Unsendable(Exception):
    """A request that can not be made as it stands: the run is `blocked`. Shows no secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Withheld(Exception):
    """The request was not to be written any more when it could be: nothing of it was sent."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP call; time limits in seconds, all counted from `send` but `first_byte_timeout`.

    `headers` are the application's: Host, Content-Length and Accept-Encoding are the sender's.
    """

    method: str
    url: Url
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    connect_timeout: float  # wait for a connection slot excluded: name look-up, TCP and TLS
    first_byte_timeout: float  # from the request written to the first byte of any answer
    total_timeout: float
    capture_max: int = CAPTURE_MAX
    redirects: int = 0
    # Connections are shared only between requests of one partition (a namespace, say).
    partition: str = ""
    # Further headers, in lower case, that must not go to another origin.
    private: frozenset[bytes] = frozenset()
    # What its namespace may call, of what the operator allows; None is all of that.
    egress: NamespaceEgress | None = None
    # A target's own trust or client certificate; None is the sender's.
    tls: Trust | None = None
    # Asked in the moment of writing, when name, connection and turn were waited for; None: it may.
    may_write: Callable[[], bool] | None = None


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where the calls of a job go, when nothing narrows it: what dialling needs of a request."""

    url: Url
    connect_timeout: float
    partition: str
    tls: Trust | None = None
    egress: NamespaceEgress | None = None
    key: object
    """Who may share a connection."""


Way: TypeAlias = HttpRequest | Route


def sharing(
    url: Url, partition: str, tls: Trust | None, egress: NamespaceEgress | None
) -> tuple[object, ...]:
    """Name who may share a connection: equal in origin, namespace, trust and the rules it was
    dialled by.
    """
    return (url.origin, partition, None if tls is None else tls.identity, egress)


class Timing(msgspec.Struct, frozen=True, gc=False):
    """How long each phase took, in milliseconds; None where it did not happen."""

    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """What came of one call; `error` is short, stable and free of anything secret."""

    outcome: ExchangeOutcome
    status_code: int | None = None
    headers: list[tuple[str, str]] = []
    body: bytes = b""
    truncated: bool = False
    error: str | None = None
    timing: Timing = Timing()
    duration_ms: float = 0.0
    reused: bool = False
