"""From an exchange to the record of an attempt, as it is stored: `domain.runs.Attempt` as JSON.

Written as text and never made a value, for nearly all of it is the same from one fire to the next,
and what is, is remembered. Promises that the text reads as the value would.
"""

from functools import lru_cache

import msgspec

from scheduler_svc.delivery.capture import response_text
from scheduler_svc.delivery.exchange import Exchange, Timing
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.redaction import Redaction
from scheduler_svc.domain.runs import AttemptOutcome
from scheduler_svc.domain.runs import Timing as Phases

ENCODE = msgspec.json.Encoder().encode
INSTANTS_KNOWN_MAX = 256


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an attempt: in parts until it is stored, and many attempts share most."""

    number: int
    started_ms: int
    duration_ms: float
    outcome: AttemptOutcome
    status_code: int | None
    error: str | None
    response: str
    timing: Timing
    replica: str

    @property
    def text(self) -> str:
        """Return it as it is stored."""
        status, error, timing = self.status_code, self.error, self.timing
        first = timing.first_byte_ms
        if first is None or timing.connect_ms is not None:
            phases = _phases(timing)
        else:  # most calls go over a connection that is there
            phases = (
                f'{{"dns_ms":null,"connect_ms":null,"tls_ms":null,"first_byte_ms":{first:.3f}}}'
            )
        return (
            f'{{"number":{self.number},"started_at":{_instant(self.started_ms)}'
            f',"duration_ms":{self.duration_ms},"outcome":"{self.outcome}"'
            f',"status_code":{"null" if status is None else status}'
            f',"error":{"null" if error is None else ENCODE(error).decode()}'
            f',"response":{self.response},"timing":{phases},"replica":"{self.replica}"}}'
        )


def record(
    exchange: Exchange,
    outcome: AttemptOutcome,
    *,
    number: int,
    started_ms: int,
    replica: str,
    redact: Redaction,
) -> Record:
    """Make the record of an attempt from its exchange; what is secret in it is masked."""
    status = exchange.status_code
    return Record(
        number,
        started_ms,
        round(exchange.duration_ms, 3),
        outcome,
        status,
        exchange.error,
        "null" if status is None else response_text(exchange, redact),
        exchange.timing,
        replica,
    )


@lru_cache(maxsize=INSTANTS_KNOWN_MAX)
def _instant(ms: int) -> str:
    """Write an instant as JSON has it: in a burst many attempts begin in one millisecond."""
    return ENCODE(instant_at(ms)).decode()


def _phases(timing: Timing) -> str:
    phases = Phases(
        dns_ms=_rounded(timing.dns_ms),
        connect_ms=_rounded(timing.connect_ms),
        tls_ms=_rounded(timing.tls_ms),
        first_byte_ms=_rounded(timing.first_byte_ms),
    )
    return ENCODE(phases).decode()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
