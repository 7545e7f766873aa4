"""What is said of ends that were settled: one event each, told by the batch."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias
from uuid import UUID

from scheduler_svc.domain.events import EventName
from scheduler_svc.domain.runs import RunStatus
from scheduler_svc.engine.ended import Ended, Settled
from scheduler_svc.engine.parts import Parts
from scheduler_svc.store.settlements import Settlement

EVENTS: dict[RunStatus, EventName] = {
    "succeeded": EventName.RUN_SUCCEEDED,
    "failed": EventName.RUN_FAILED,
    "cancelled": EventName.RUN_CANCELLED,
    "due": EventName.RUN_RETRYING,
    "running": EventName.RUN_AWAITING,
}
ALERT_EVENTS = EVENTS | {"succeeded": EventName.ALERT_SENT, "failed": EventName.ALERT_FAILED}
Told: TypeAlias = tuple[Ended, Settlement, Settled | None]


def tell(
    parts: Parts, written: Sequence[tuple[Ended, Settlement]], settled: dict[UUID, Settled]
) -> None:
    """Say what the database made of ends; None: another replica has taken the run over."""
    told: dict[EventName, list[Told]] = defaultdict(list)
    for ended, settlement in written:
        became = settled.get(settlement.id)
        if became is None:
            name = EventName.SETTLE_SUPERSEDED
        else:
            names = ALERT_EVENTS if ended.held.claim.trigger == "alert" else EVENTS
            name = names[became[0]]
        told[name].append((ended, settlement, became))
    for name, ends in told.items():
        parts.on_events(name, ends, _fields)


def _fields(told: Told) -> dict[str, Any]:
    ended, settlement, became = told
    sent = ended.record
    return {
        "run_id": settlement.id,
        "job_id": settlement.job_id,
        "attempt": settlement.attempt,
        "outcome": None if sent is None else sent.outcome,
        "status_code": None if sent is None else sent.status_code,
        "reason": settlement.reason if became is None else became[1],
        "duration_ms": None if sent is None else sent.duration_ms,
        "lateness_ms": settlement.lateness_ms,
        "trigger": ended.held.claim.trigger,
    }
