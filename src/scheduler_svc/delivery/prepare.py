"""The part of a job's requests that is the same in every attempt, made once per revision.

Promises that what it makes can be sent as it is. Knows no run and no instant.
"""

import base64

import msgspec

from scheduler_svc.delivery.trust import Trust, trust_of
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import NO_BODY, Definition
from scheduler_svc.domain.redaction import Redaction, redaction_of
from scheduler_svc.domain.url import Url, parse_url

JSON_TYPE = (b"Content-Type", b"application/json")


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
    redact: Redaction
    tls: Trust | None = None


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
    headers.update(by_name(target.headers))
    return Prepared(
        method=target.method,
        url=parse_url(target.url),
        headers=headers,
        body=body,
        timeout=milliseconds(target.timeout) / 1000,
        redirects=target.redirects,
        partition=namespace,
        tls=trust_of(target.tls),
        redact=redaction_of(target.redact.headers, target.redact.pointers),
    )


def by_name(given: dict[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Key headers by their name in lower case: two spellings of one name are one header."""
    return {name.lower(): (name.encode(), value.encode()) for name, value in given.items()}
