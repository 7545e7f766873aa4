"""From an exchange to the record of an attempt."""

from datetime import datetime
from uuid import UUID

from scheduler_svc.delivery import exchange as exchanges
from scheduler_svc.delivery.capture import captured
from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.domain.redaction import Redaction
from scheduler_svc.domain.runs import Attempt, AttemptOutcome, Timing


def record(
    exchange: Exchange,
    outcome: AttemptOutcome,
    *,
    number: int,
    started_at: datetime,
    replica: UUID,
    redact: Redaction,
) -> Attempt:
    """Make the record of an attempt from its exchange; what is secret in it is masked."""
    return Attempt(
        number=number,
        started_at=started_at,
        duration_ms=round(exchange.duration_ms, 3),
        outcome=outcome,
        status_code=exchange.status_code,
        error=exchange.error,
        response=None if exchange.status_code is None else captured(exchange, redact),
        timing=_timing(exchange.timing),
        replica=replica,
    )


def _timing(timing: exchanges.Timing) -> Timing:
    first_byte_ms = timing.first_byte_ms
    if first_byte_ms is not None:
        first_byte_ms = round(first_byte_ms, 3)
    if timing.connect_ms is None:  # most calls go over a connection that is there
        return Timing(first_byte_ms=first_byte_ms)
    return Timing(
        dns_ms=_rounded(timing.dns_ms),
        connect_ms=_rounded(timing.connect_ms),
        tls_ms=_rounded(timing.tls_ms),
        first_byte_ms=first_byte_ms,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
