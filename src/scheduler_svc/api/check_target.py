"""Judging a target beyond its shape: address, headers, body, time-out, and what is not built yet.

A literal address that may not be called is refused here; a name is judged again when it is dialled.
"""

import binascii
from base64 import b64decode
from collections.abc import Iterator, Sequence

from msgspec import UNSET

from scheduler_svc.api.check_headers import header_faults
from scheduler_svc.api.check_redact import redact_faults
from scheduler_svc.api.validate_json import member
from scheduler_svc.delivery import cloudevents
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.egress import EgressRules, check_literal
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import NO_BODY, Target
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.outcome import status_range
from scheduler_svc.domain.pressure import key_fault
from scheduler_svc.domain.template_places import parse_query
from scheduler_svc.domain.templates import TemplateRefused
from scheduler_svc.domain.url import UrlRefused, parse_url

BODY_MAX = 256 * 1024
TIMEOUT_MIN_MS, TIMEOUT_MAX_MS = 100, 30 * 60_000
NOT_AVAILABLE = "is not available in this version"


def target_faults(
    target: Target, egress: EgressRules, narrower: NamespaceEgress | None = None
) -> Iterator[Fault]:
    """Name every fault of a target; pointers are relative to it."""
    yield from url_faults(target.url, egress, narrower)
    yield from header_faults(target.headers, "/headers")
    yield from _body_faults(target)
    yield from duration_faults("/timeout", target.timeout, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS)
    yield from status_faults("/success_status", target.success_status)
    yield from redact_faults(target.redact, "/redact")
    if target.concurrency_key is not None and (fault := key_fault(target.concurrency_key)):
        yield Fault("/concurrency_key", fault)
    yield from _missing_faults(target)


def body_size_fault(size: int, pointer: str) -> Iterator[Fault]:
    """Judge the length of a body in bytes."""
    if size > BODY_MAX:
        yield Fault(pointer, f"is {size} bytes long; at most {BODY_MAX}")


def status_faults(pointer: str, rules: Sequence[int | str]) -> Iterator[Fault]:
    """Name every rule that is no status, class or range."""
    for index, rule in enumerate(rules):
        try:
            status_range(rule)
        except ValueError as fault:
            yield Fault(f"{pointer}/{index}", str(fault))


def duration_faults(
    pointer: str, text: str | None, least_ms: int = 0, most_ms: int | None = None
) -> Iterator[Fault]:
    """Judge a duration that has the right form: that it is not too short or too long."""
    if text is None:
        return
    try:
        length = milliseconds(text)
    except ValueError as fault:
        yield Fault(pointer, str(fault))
        return
    if length < least_ms:
        yield Fault(pointer, f"'{text}' is too short; at least {least_ms} ms")
    if most_ms is not None and length > most_ms:
        yield Fault(pointer, f"'{text}' is too long; at most {most_ms // 60_000} m")


def url_faults(
    text: str, egress: EgressRules, narrower: NamespaceEgress | None = None
) -> Iterator[Fault]:
    """Judge an address; what stands in its templates is judged when it is filled."""
    try:
        url = parse_url(parse_query(text)[0])
        reason = check_literal(url, egress)
        if reason is None and narrower is not None:
            reason = narrower.refuse_url(url)
    except (UrlRefused, TemplateRefused) as refused:
        reason = refused.reason
    if reason is not None:
        yield Fault("/url", reason)


def _body_faults(target: Target) -> Iterator[Fault]:
    body = bytes(target.body)
    yield from body_size_fault(len(body), "/body")
    if target.body_base64 is UNSET:
        return
    if body != bytes(NO_BODY):
        yield Fault("/body_base64", "stands beside 'body'; give one of the two")
    try:
        size = len(b64decode(target.body_base64, validate=True))
    except (binascii.Error, ValueError):
        yield Fault("/body_base64", "is no base64 (RFC 4648, section 4, with padding)")
    else:
        yield from body_size_fault(size, "/body_base64")


def _missing_faults(target: Target) -> Iterator[Fault]:
    if target.format == "cloudevents":
        for name in target.headers:
            if name.lower() in cloudevents.OWN:
                yield Fault(member("/headers", name), "is each event's own; remove it")
