"""From an exchange to the record of an attempt: what is kept of a response, and what is masked."""

import base64
from datetime import datetime
from uuid import UUID

from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.domain.runs import Attempt, AttemptOutcome, CapturedResponse, Timing

MASK = "***"


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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
