"""From a job's target and one attempt to the request that is sent, and back to the record of it.

What does not change from attempt to attempt is prepared once per revision of the job.
"""

import base64
from datetime import datetime
from uuid import UUID

import msgspec

from scheduler_svc.delivery.exchange import Exchange, HttpRequest
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import NO_BODY, Definition
from scheduler_svc.domain.runs import (
    Attempt,
    AttemptOutcome,
    CapturedResponse,
    Overrides,
    Timing,
)
from scheduler_svc.domain.url import Url, parse_url

CONNECT_SECONDS_MAX = 10.0
JSON_TYPE = (b"Content-Type", b"application/json")
SECRET_HEADERS = frozenset(
    {"authorization", "cookie", "set-cookie", "proxy-authorization", "proxy-authenticate"}
)
MASK = "***"


class Prepared(msgspec.Struct, frozen=True):
    """The unchanging part of a job's requests."""

    method: str
    url: Url
    headers: dict[str, tuple[bytes, bytes]]
    """By the name in lower case: the name as it was given, and the value."""
    body: bytes
    timeout: float
    redirects: int
    partition: str
    redact: frozenset[str]


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """What tells one attempt from another."""

    run_id: UUID
    job_id: UUID
    job_name: str | None
    scheduled_ms: int
    attempt: int
    trigger: str
    now_ms: int
    trace: bytes
    """24 random bytes: the trace id and the span id (W3C Trace Context)."""


def prepare(definition: Definition, *, namespace: str, version: str) -> Prepared:
    """Build what all attempts of this revision share; raise UrlRefused where the URL is none."""
    target = definition.target
    headers = {"user-agent": (b"User-Agent", f"scheduler-svc/{version}".encode())}
    body = b""
    if isinstance(target.body_base64, str):
        body = base64.b64decode(target.body_base64)
    elif bytes(target.body) != bytes(NO_BODY):
        body = bytes(target.body)
        headers["content-type"] = JSON_TYPE
    headers.update(_by_name(target.headers))
    return Prepared(
        method=target.method,
        url=parse_url(target.url),
        headers=headers,
        body=body,
        timeout=milliseconds(target.timeout) / 1000,
        redirects=target.redirects,
        partition=namespace,
        redact=SECRET_HEADERS | {name.lower() for name in target.redact.headers},
    )


def request(
    prepared: Prepared, sending: Sending, overrides: Overrides | None, *, capture_max: int
) -> HttpRequest:
    """Build the request of one attempt (DESIGN, "What the target receives")."""
    headers = dict(prepared.headers)
    body = prepared.body
    if overrides is not None:
        if overrides.body is not None:
            body = b"" if overrides.body == "null" else overrides.body.encode()
            headers["content-type"] = JSON_TYPE
        headers.update(_by_name(overrides.headers or {}))
    lines = list(headers.values())
    run_id = str(sending.run_id).encode()
    lines += [
        (b"webhook-id", run_id),
        (b"webhook-timestamp", b"%d" % (sending.now_ms // 1000)),
        (b"Idempotency-Key", run_id),
        (b"traceparent", _traceparent(sending.trace)),
        (b"Scheduler-Job", str(sending.job_id).encode()),
        (b"Scheduler-Scheduled-For", _instant(sending.scheduled_ms)),
        (b"Scheduler-Attempt", b"%d" % sending.attempt),
        (b"Scheduler-Trigger", sending.trigger.encode()),
    ]
    if sending.job_name is not None:
        lines.append((b"Scheduler-Job-Name", sending.job_name.encode()))
    return HttpRequest(
        method=prepared.method,
        url=prepared.url,
        headers=lines,
        body=body,
        connect_timeout=min(CONNECT_SECONDS_MAX, prepared.timeout),
        first_byte_timeout=prepared.timeout,
        total_timeout=prepared.timeout,
        capture_max=capture_max,
        redirects=prepared.redirects,
        partition=prepared.partition,
    )


def record(
    exchange: Exchange,
    outcome: AttemptOutcome,
    *,
    number: int,
    started_at: datetime,
    replica: UUID,
    redact: frozenset[str],
) -> Attempt:
    """Make the record of an attempt from its exchange; secret headers are masked."""
    timing = exchange.timing
    return Attempt(
        number=number,
        started_at=started_at,
        duration_ms=round(exchange.duration_ms, 3),
        outcome=outcome,
        status_code=exchange.status_code,
        error=exchange.error,
        response=None if exchange.status_code is None else _captured(exchange, redact),
        timing=Timing(
            dns_ms=_rounded(timing.dns_ms),
            connect_ms=_rounded(timing.connect_ms),
            tls_ms=_rounded(timing.tls_ms),
            first_byte_ms=_rounded(timing.first_byte_ms),
        ),
        replica=replica,
    )


def _captured(exchange: Exchange, redact: frozenset[str]) -> CapturedResponse:
    headers: dict[str, str] = {}
    for name, value in exchange.headers:
        key = name.lower()
        shown = MASK if key in redact else value
        headers[key] = f"{headers[key]}, {shown}" if key in headers else shown
    text, encoded = None, None
    try:
        text = exchange.body.decode()
    except UnicodeDecodeError as error:
        # A cut in the middle of the last character is the cap's doing, not the body's.
        if exchange.truncated and error.start >= len(exchange.body) - 3:
            text = exchange.body[: error.start].decode()
        else:
            encoded = base64.b64encode(exchange.body).decode()
    return CapturedResponse(
        headers=headers, body=text, body_base64=encoded, truncated=exchange.truncated
    )


def _traceparent(trace: bytes) -> bytes:
    return b"00-" + trace[:16].hex().encode() + b"-" + trace[16:24].hex().encode() + b"-01"


def _instant(ms: int) -> bytes:
    """Write an instant as RFC 3339 in UTC, with milliseconds only where there are any."""
    at = instant_at(ms)
    spec = "milliseconds" if ms % 1000 else "seconds"
    return at.isoformat(timespec=spec).replace("+00:00", "Z").encode()


def _by_name(given: dict[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Key headers by their name in lower case: two spellings of one name are one header."""
    return {name.lower(): (name.encode(), value.encode()) for name, value in given.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
