"""Judging a definition: every fault of shape and of meaning in one answer, and its normal form.

What is accepted by the contract but not built yet is refused here, so that nothing is silently
without effect.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, structs

from scheduler_svc.api import judged_schedules, validate
from scheduler_svc.api.check_alerts import alert_faults
from scheduler_svc.api.check_completion import completion_faults
from scheduler_svc.api.check_secrets import Safe, sealed_target, secret_faults, stored_secrets
from scheduler_svc.api.check_target import (
    duration_faults,
    status_faults,
    target_faults,
)
from scheduler_svc.api.check_templates import Fillers, kept_texts, named_in, template_faults
from scheduler_svc.api.check_tls import tls_faults
from scheduler_svc.api.known_parts import KnownParts
from scheduler_svc.api.validate_json import DEPTH_MAX, parse
from scheduler_svc.api.wire_jobs import READ_ONLY
from scheduler_svc.domain.completion import Callbacks
from scheduler_svc.domain.duration import MILLISECONDS_MAX, normal
from scheduler_svc.domain.egress import EgressRules
from scheduler_svc.domain.errors import Fault, Invalid, Malformed
from scheduler_svc.domain.ids import instant_at, looks_like_id
from scheduler_svc.domain.jobs import NO_BODY, Alerts, Definition, Misfire, Retry, Target
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.quotas import NO_QUOTAS, Quotas, body_faults, interval_faults
from scheduler_svc.domain.retention import Retention, normal_retention, retention_faults
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.schedule_check import check
from scheduler_svc.domain.secrecy import place_of_target
from scheduler_svc.store.vault import KeyRing

T = TypeVar("T")
_DECODER = msgspec.json.Decoder(Definition)
# A line feed at the end passes a pattern, and a NUL no text: both are written as escapes.
_DOUBTFUL = re.compile(rb"\\(?:n|u00)")
RETRY, MISFIRE, ALERTS = Retry(), Misfire(), Alerts()


class Bench(Struct, frozen=True, kw_only=True):
    """What a definition is judged against: the time, the job it is of, and the egress rules.

    `secrets` are the names of the namespace's, `ring` and `public_url` null where there is none.
    """

    now_ms: int
    job_id: UUID
    created_at: datetime
    egress: EgressRules
    namespace: str
    ring: KeyRing | None
    public_url: str | None
    secrets: frozenset[str]
    narrower: NamespaceEgress | None = None
    """What the namespace may call, of what the operator allows."""
    callbacks: Callbacks = Callbacks()
    retention_max_ms: int = MILLISECONDS_MAX
    quotas: Quotas = NO_QUOTAS
    stored: Definition | None = None

    @property
    def safe(self) -> Safe:
        """Return what the secrets of this job are kept with."""
        return Safe(
            ring=self.ring,
            place=place_of_target(self.namespace, self.job_id),
            stored=stored_secrets(self.stored),
        )


def read_definition(raw: bytes, bench: Bench, known: KnownParts | None = None) -> Definition:
    """Return the normal form of a definition; raise Malformed, or Invalid with all faults.

    `known` are parts that were judged before by the same rules.
    """
    given = surely_shaped(raw)
    if given is not None:
        schedule, found = judge_schedule(given.schedule, bench)
        if known is None:
            return judge(given, schedule, found, bench)
        return judge_by_parts(given, schedule, found, bench, known)
    looked_at = validate.examine(raw, Definition, read_only=READ_ONLY)
    faults = list(looked_at.faults)
    if looked_at.value is not None:
        schedule, schedule_faults = judge_schedule(looked_at.value.schedule, bench)
        return judge(looked_at.value, schedule, [*faults, *schedule_faults], bench)
    faults += _part_faults(looked_at.document, bench)
    raise Invalid(faults)


def surely_shaped(raw: bytes) -> Definition | None:
    """Decode a body in which a walk would find no fault; None where only the walk can tell."""
    if _DOUBTFUL.search(raw) or raw.count(b"[") + raw.count(b"{") > DEPTH_MAX:
        return None
    try:
        definition = _DECODER.decode(raw)
        if definition.target.body != NO_BODY and parse(bytes(definition.target.body))[1]:
            return None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Malformed):
        return None
    return definition


def judge_schedule(schedule: Schedule, bench: Bench) -> tuple[Schedule, list[Fault]]:
    """Return the normal form of a schedule and its faults, by their place in the definition."""
    good, faults = _schedule(schedule, bench)
    return good, list(_under("/schedule", faults))


def judge_by_parts(
    given: Definition, schedule: Schedule, faults: list[Fault], bench: Bench, known: KnownParts
) -> Definition:
    """Judge what is not known yet under a judged schedule, and learn it; raise Invalid."""
    normal_form = None if faults else known.normal(given)
    if normal_form is not None:
        return structs.replace(normal_form, schedule=schedule)
    definition = judge(given, schedule, faults, bench)
    known.learn(given, definition)
    return definition


def judge(
    definition: Definition, schedule: Schedule, faults: list[Fault], bench: Bench
) -> Definition:
    """Return the normal form of a definition under a judged schedule; raise Invalid."""
    faults += _under("/target", _target_faults(definition.target, bench, definition.labels))
    # What is as by default is good and in normal form: most jobs say nothing of these.
    if definition.retry != RETRY:
        faults += _under("/retry", _retry_faults(definition.retry))
    if definition.misfire != MISFIRE:
        faults += _under("/misfire", _misfire_faults(definition.misfire))
    if definition.alerts != ALERTS:
        faults += _under("/alerts", alert_faults(definition.alerts, bench.egress, bench.narrower))
    if definition.retention:
        faults += _under("/retention", _retention_faults(definition.retention, bench))
    faults += _top_faults(definition.name)
    if faults:
        raise Invalid(faults)
    target = sealed_target(definition.target, bench.safe)
    return structs.replace(
        definition,
        schedule=schedule,
        target=_normal_target(target),
        retry=RETRY if definition.retry == RETRY else _normal_retry(definition.retry),
        misfire=MISFIRE if definition.misfire == MISFIRE else _normal_misfire(definition.misfire),
        alerts=ALERTS if definition.alerts == ALERTS else _normal_alerts(definition.alerts),
        retention=normal_retention(definition.retention),
    )


def _part_faults(document: Any, bench: Bench) -> Iterator[Fault]:
    """Judge the meaning of those parts that have the right shape."""
    if not isinstance(document, dict):
        return
    if (schedule := _part(document, "schedule", Schedule)) is not None:
        yield from _under("/schedule", _schedule(schedule, bench)[1])
    if (target := _part(document, "target", Target)) is not None:
        yield from _under("/target", _target_faults(target, bench, None))
    if (retry := _part(document, "retry", Retry)) is not None:
        yield from _under("/retry", _retry_faults(retry))
    if (misfire := _part(document, "misfire", Misfire)) is not None:
        yield from _under("/misfire", _misfire_faults(misfire))
    if (alerts := _part(document, "alerts", Alerts)) is not None:
        yield from _under("/alerts", alert_faults(alerts, bench.egress, bench.narrower))
    if (retention := _part(document, "retention", Retention)) is not None:
        yield from _under("/retention", _retention_faults(retention, bench))
    name = document.get("name")
    yield from _top_faults(name if isinstance(name, str) else None)


def _target_faults(target: Target, bench: Bench, labels: dict[str, str] | None) -> Iterator[Fault]:
    yield from target_faults(target, bench.egress, bench.narrower)
    if bench.stored is None or not _same_body(target, bench.stored.target):
        yield from body_faults(bench.quotas, target)
    yield from secret_faults(target, bench.safe, public_url=bench.public_url)
    known = bench.secrets | named_in(bench.stored)
    kept = kept_texts(bench.stored)
    yield from template_faults(target, Fillers(labels=labels, secrets=known, kept=kept))
    now = instant_at(bench.now_ms)
    yield from completion_faults(target, bench.callbacks)
    tls = tls_faults(target, stored=bench.stored, safe=bench.safe, now=now)
    yield from _under("/tls", tls)


def _same_body(one: Target, other: Target) -> bool:
    return one.body == other.body and one.body_base64 == other.body_base64


def _part(document: dict[str, Any], name: str, shape: type[T]) -> T | None:
    return validate.part(document[name], shape) if name in document else None


def _schedule(schedule: Schedule, bench: Bench) -> tuple[Schedule, list[Fault]]:
    """Judge a schedule; `every` gets its anchor, and keeps the one that it had."""
    stored = None if bench.stored is None else bench.stored.schedule
    asks_little = stored is None and bench.quotas.min_interval_ms == 0
    key = judged_schedules.key_of(schedule) if asks_little else None
    if key is not None and (known := judged_schedules.find(key)) is not None:
        return known, []
    if schedule.every is not UNSET and schedule.anchor is UNSET:
        kept = UNSET if stored is None else stored.anchor
        schedule = structs.replace(schedule, anchor=bench.created_at if kept is UNSET else kept)
    good, faults = check(
        schedule,
        now=instant_at(bench.now_ms),
        job_id=bench.job_id,
        known_at=frozenset() if stored is None else known_instants(stored),
    )
    if not faults and good != stored:  # what is stored is judged by no quota that came after it
        faults = list(interval_faults(bench.quotas, good, job_id=bench.job_id, now_ms=bench.now_ms))
    if key is not None and not faults:
        judged_schedules.learn(key, good)
    return good, faults


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


def _retention_faults(retention: Retention, bench: Bench) -> Iterator[Fault]:
    """Judge what is new: what was good when it was stored need not be given up for another edit."""
    if bench.stored is None or bench.stored.retention != retention:
        yield from retention_faults(retention, longest_ms=bench.retention_max_ms)


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


def _normal_alerts(alerts: Alerts) -> Alerts:
    return structs.replace(alerts, late_after=normal(alerts.late_after))


def _normal_misfire(misfire: Misfire) -> Misfire:
    lateness = misfire.max_lateness
    return structs.replace(
        misfire,
        grace=normal(misfire.grace),
        max_lateness=None if lateness is None else normal(lateness),
    )
