"""From a prepared job and one attempt to the request that is sent: what the target receives."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol
from uuid import UUID

import msgspec

from scheduler_svc.delivery import cloudevents
from scheduler_svc.delivery.exchange import CONNECT_SECONDS_MAX, HttpRequest
from scheduler_svc.delivery.prepare import JSON_TYPE, Prepared, by_name
from scheduler_svc.delivery.signing import Signer, signatures
from scheduler_svc.delivery.wire import END_OF_HEAD
from scheduler_svc.domain.completion import Report
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.namespaces import NamespaceEgress
from scheduler_svc.domain.runs import Overrides


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
    """The header `traceparent`."""
    report: Report | None = None
    """Of a job whose target reports its end itself."""


class Facts(Protocol):
    """What is told of a run that was claimed."""

    @property
    def id(self) -> UUID: ...
    @property
    def scheduled_ms(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def trigger(self) -> str: ...


def request(
    prepared: Prepared,
    sending: Sending,
    overrides: Overrides | None,
    *,
    capture_max: int,
    signers: Sequence[Signer] = (),
    egress: NamespaceEgress | None = None,
    may_write: Callable[[], bool] | None = None,
) -> HttpRequest:
    """Build the request of one attempt (DESIGN, "What the target receives")."""
    headers, body = prepared.headers, prepared.body
    if overrides is not None:
        headers = dict(headers)
        if overrides.body is not None:
            body = b"" if overrides.body == "null" else overrides.body.encode()
            headers["content-type"] = JSON_TYPE
        headers.update(by_name(overrides.headers or {}))
    lines = list(headers.values())
    run_id = str(sending.run_id).encode()
    lines += _own_lines(prepared, sending, run_id)
    if sending.report is not None:
        lines.append((b"Scheduler-Completion-URL", sending.report.url.encode()))
        lines.append((b"Scheduler-Completion-Token", sending.report.token.encode()))
    if prepared.event is not None:
        lines += cloudevents.lines(
            prepared.event,
            run_id=run_id,
            time=_instant(sending.scheduled_ms),
            given=headers,
        )
    if signers and prepared.signed:
        lines += _signature(prepared, sending, run_id, body, signers)
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
        private=prepared.private,
        egress=egress,
        tls=prepared.tls,
        may_write=may_write,
    )


def payload(
    prepared: Prepared,
    claim: Facts,
    *,
    now_ms: int,
    trace: bytes,
    signers: Sequence[Signer],
) -> bytes:
    """Write the message of an attempt of a job that has a route: the very bytes that `request` and
    the sender make of it.
    """
    run_id = str(claim.id).encode()
    parts = [
        prepared.opening,
        b"\r\nwebhook-id: ",
        run_id,
        _stamp(now_ms // 1000),
        run_id,
        b"\r\ntraceparent: ",
        trace,
        b"\r\nScheduler-Job: ",
        prepared.job,
        _occurrence(claim.scheduled_ms, claim.attempt, claim.trigger),
        prepared.named,
    ]
    if signers and prepared.signed:
        signed = signatures(
            signers,
            host=prepared.url.host,
            content=(run_id, b"%d" % (now_ms // 1000), prepared.body),
            now_ms=now_ms,
        )
        if signed is not None:
            parts += (b"\r\nwebhook-signature: ", signed)
    parts += (END_OF_HEAD, prepared.body)
    return b"".join(parts)


def _own_lines(prepared: Prepared, sending: Sending, run_id: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers that the service sets itself; the signature needs the first two."""
    lines = [
        (b"webhook-id", run_id),
        (b"webhook-timestamp", b"%d" % (sending.now_ms // 1000)),
        (b"Idempotency-Key", run_id),
        (b"traceparent", sending.trace),
        (b"Scheduler-Job", prepared.job or str(sending.job_id).encode()),
        (b"Scheduler-Scheduled-For", _instant(sending.scheduled_ms)),
        (b"Scheduler-Attempt", b"%d" % sending.attempt),
        (b"Scheduler-Trigger", sending.trigger.encode()),
    ]
    if sending.job_name is not None:
        lines.append((b"Scheduler-Job-Name", sending.job_name.encode()))
    return lines


def _signature(
    prepared: Prepared, sending: Sending, run_id: bytes, body: bytes, signers: Sequence[Signer]
) -> list[tuple[bytes, bytes]]:
    signed = signatures(
        signers,
        host=prepared.url.host,
        content=(run_id, b"%d" % (sending.now_ms // 1000), body),
        now_ms=sending.now_ms,
    )
    return [] if signed is None else [(b"webhook-signature", signed)]


@lru_cache(maxsize=4)
def _stamp(seconds: int) -> bytes:
    """Write the line of the present second, up to the key that is the run's id again."""
    return b"\r\nwebhook-timestamp: %d\r\nIdempotency-Key: " % seconds


@lru_cache(maxsize=64)
def _occurrence(scheduled_ms: int, attempt: int, trigger: str) -> bytes:
    """Write the lines that are the same for all that is due at one instant."""
    return b"\r\nScheduler-Scheduled-For: %b\r\nScheduler-Attempt: %d\r\nScheduler-Trigger: %b" % (
        _instant(scheduled_ms),
        attempt,
        trigger.encode(),
    )


@lru_cache(maxsize=64)
def _instant(ms: int) -> bytes:
    """Write an instant as RFC 3339 in UTC, with milliseconds only where there are any."""
    at = instant_at(ms)
    spec = "milliseconds" if ms % 1000 else "seconds"
    return at.isoformat(timespec=spec).replace("+00:00", "Z").encode()
