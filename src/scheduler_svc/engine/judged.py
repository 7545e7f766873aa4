"""What an exchange makes of its run: noted of its key, judged, and recorded for the settle.

Shared by both kinds of attempt, those that a task waits for and those that are told (`flight`).
"""

from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.delivery.record import record
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Definition
from scheduler_svc.domain.outcome import SUCCEEDED, Verdict, classify
from scheduler_svc.domain.pressure import weigh
from scheduler_svc.domain.runs import AttemptOutcome
from scheduler_svc.engine.ended import Ended
from scheduler_svc.engine.hand import HeldRun
from scheduler_svc.engine.parts import Parts

INTERNAL = "an internal fault of the scheduler"
ON_REQUEST = "cancelled on request"
STOOD_STILL_SECONDS = 1.0
"""A time-out that is noticed so late was noticed by a process that was stopped meanwhile."""


def note(
    parts: Parts,
    held: HeldRun,
    exchange: Exchange | None,
    started_ms: int,
) -> None:
    """Tell the memory of keys how a call went; None is one that says nothing of its target."""
    good = None if exchange is None else weigh(exchange.outcome, exchange.status_code)
    if good is False and exchange is not None and stood_still(parts, held, exchange):
        good = None
    if parts.pressure.note(held, good=good, started_ms=started_ms, now_ms=parts.clock.now_ms()):
        parts.to_claim.ring()


def stood_still(parts: Parts, held: HeldRun, exchange: Exchange) -> bool:
    """Tell whether a call failed beside a standstill of this replica, which speaks for itself only:
    stopped and woken, it finds all that it had sent, or was about to, out of time at once.
    """
    limit_ms = (held.job.prepared.timeout + STOOD_STILL_SECONDS) * 1000
    too_late = exchange.outcome == "timeout" and exchange.duration_ms > limit_ms
    return too_late or not parts.lease.holds(held.term)


def unsent(parts: Parts, held: HeldRun) -> None:
    """Tell the memory of keys that no call was made: a probe among them is made by another run."""
    if parts.pressure.unsent(held):
        parts.to_claim.ring()


def ended(
    parts: Parts,
    held: HeldRun,
    exchange: Exchange,
    started_ms: int,
    now_ms: int | None = None,
) -> Ended:
    """Judge an exchange; what follows from the verdict is decided when it is settled."""
    now_ms = parts.clock.now_ms() if now_ms is None else now_ms
    outcome: AttemptOutcome = exchange.outcome
    # Most are good, and then nothing else of the answer has to be looked at.
    good = outcome == "ok" and exchange.status_code in held.job.good
    verdict = SUCCEEDED if good else _verdict(exchange, held.job.plan.definition, now_ms)
    if held.cancelled:
        outcome = "cancelled"
    elif outcome == "ok" and not good:
        outcome = "http_error"
    return Ended(
        held=held,
        verdict=verdict,
        record=record(
            exchange,
            outcome,
            number=held.claim.attempt,
            started_ms=started_ms,
            replica=parts.name,
            redact=held.job.prepared.redact,
        ),
        started_ms=started_ms,
        ended_ms=now_ms,
    )


def _verdict(exchange: Exchange, definition: Definition, now_ms: int) -> Verdict:
    return classify(
        exchange.outcome,
        exchange.status_code,
        {name.lower(): value for name, value in exchange.headers},
        success=definition.target.success_status,
        retry_on=definition.retry.on,
        now=instant_at(now_ms),
    )
