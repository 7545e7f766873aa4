"""Judging a definition: every fault of shape and of meaning in one answer, and its normal form.

What is accepted by the contract but not built yet is refused here, so that nothing is silently
without effect.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, structs

from scheduler_svc.api import validate
from scheduler_svc.api.check_alerts import alert_faults
from scheduler_svc.api.check_completion import completion_faults
from scheduler_svc.api.check_target import (
    duration_faults,
    status_faults,
    target_faults,
)
from scheduler_svc.api.wire_jobs import READ_ONLY
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.duration import normal
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.errors import Fault, Invalid
from scheduler_svc.domain.ids import instant_at, looks_like_id
from scheduler_svc.domain.jobs import Alerts, Definition, Misfire, Retry, Target
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.schedule_check import check

T = TypeVar("T")


class Bench(Struct, frozen=True, kw_only=True):
    """What a definition is judged against: the time, the job it is of, and the egress rules."""

    now_ms: int
    job_id: UUID
    created_at: datetime
    egress: EgressRules
    callbacks: Callbacks = Callbacks()
    stored: Definition | None = None


def read_definition(raw: bytes, bench: Bench) -> Definition:
    """Return the normal form of a definition; raise Malformed, or Invalid with all faults."""
    looked_at = validate.examine(raw, Definition, read_only=READ_ONLY)
    faults = list(looked_at.faults)
    if looked_at.value is not None:
        return _judged(looked_at.value, bench, faults)
    faults += _part_faults(looked_at.document, bench)
    raise Invalid(faults)


def _judged(definition: Definition, bench: Bench, faults: list[Fault]) -> Definition:
    schedule, schedule_faults = _schedule(definition.schedule, bench)
    faults += _under("/schedule", schedule_faults)
    faults += _under("/target", target_faults(definition.target, bench.egress))
    faults += _under("/target", completion_faults(definition.target, bench.callbacks))
    faults += _under("/retry", _retry_faults(definition.retry))
    faults += _under("/misfire", _misfire_faults(definition.misfire))
    faults += _under("/alerts", alert_faults(definition.alerts, bench.egress))
    faults += _top_faults(definition.name)
    if faults:
        raise Invalid(faults)
    return structs.replace(
        definition,
        schedule=schedule,
        target=_normal_target(definition.target),
        retry=_normal_retry(definition.retry),
        misfire=_normal_misfire(definition.misfire),
        alerts=structs.replace(definition.alerts, late_after=normal(definition.alerts.late_after)),
    )


def _part_faults(document: Any, bench: Bench) -> Iterator[Fault]:
    """Judge the meaning of those parts that have the right shape."""
    if not isinstance(document, dict):
        return
    if (schedule := _part(document, "schedule", Schedule)) is not None:
        yield from _under("/schedule", _schedule(schedule, bench)[1])
    if (target := _part(document, "target", Target)) is not None:
        yield from _under("/target", target_faults(target, bench.egress))
        yield from _under("/target", completion_faults(target, bench.callbacks))
    if (retry := _part(document, "retry", Retry)) is not None:
        yield from _under("/retry", _retry_faults(retry))
    if (misfire := _part(document, "misfire", Misfire)) is not None:
        yield from _under("/misfire", _misfire_faults(misfire))
    if (alerts := _part(document, "alerts", Alerts)) is not None:
        yield from _under("/alerts", alert_faults(alerts, bench.egress))
    name = document.get("name")
    yield from _top_faults(name if isinstance(name, str) else None)


def _part(document: dict[str, Any], name: str, shape: type[T]) -> T | None:
    return validate.part(document[name], shape) if name in document else None


def _schedule(schedule: Schedule, bench: Bench) -> tuple[Schedule, list[Fault]]:
    """Judge a schedule; `every` gets its anchor, and keeps the one that it had."""
    stored = None if bench.stored is None else bench.stored.schedule
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        kept = UNSET if stored is None else stored.anchor
        schedule = structs.replace(schedule, anchor=bench.created_at if kept is UNSET else kept)
    return check(
        schedule,
        now=instant_at(bench.now_ms),
        job_id=bench.job_id,
        known_at=frozenset() if stored is None else known_instants(stored),
    )


def known_instants(schedule: Schedule) -> frozenset[datetime]:
    """Return the instants that an `at` names."""
    if schedule.at is UNSET:
        return frozenset()
    return frozenset(schedule.at if isinstance(schedule.at, list) else [schedule.at])


def _under(pointer: str, faults: Any) -> Iterator[Fault]:
    for fault in faults:
        yield fault._replace(pointer=pointer + fault.pointer)


def _retry_faults(retry: Retry) -> Iterator[Fault]:
    yield from duration_faults("/initial_delay", retry.initial_delay)
    yield from duration_faults("/max_delay", retry.max_delay)
    yield from duration_faults("/deadline", retry.deadline, 1)
    for index, delay in enumerate(retry.delays or ()):
        yield from duration_faults(f"/delays/{index}", delay)
    yield from status_faults("/on", retry.on)


def _misfire_faults(misfire: Misfire) -> Iterator[Fault]:
    yield from duration_faults("/grace", misfire.grace)
    yield from duration_faults("/max_lateness", misfire.max_lateness)


def _top_faults(name: str | None) -> Iterator[Fault]:
    if name is not None and looks_like_id(name):
        yield Fault("/name", "looks like an id; choose another name")


def _normal_target(target: Target) -> Target:
    waits = target.completion_timeout
    return structs.replace(
        target,
        timeout=normal(target.timeout),
        completion_timeout=None if waits is None else normal(waits),
    )


def _normal_retry(retry: Retry) -> Retry:
    return structs.replace(
        retry,
        initial_delay=normal(retry.initial_delay),
        max_delay=normal(retry.max_delay),
        deadline=None if retry.deadline is None else normal(retry.deadline),
        delays=None if retry.delays is None else [normal(delay) for delay in retry.delays],
    )


def _normal_misfire(misfire: Misfire) -> Misfire:
    lateness = misfire.max_lateness
    return structs.replace(
        misfire,
        grace=normal(misfire.grace),
        max_lateness=None if lateness is None else normal(lateness),
    )
