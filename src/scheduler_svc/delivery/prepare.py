"""The part of a job's requests that is the same in every attempt, made once per revision.

Promises that what it makes can be sent as it is, once its templates are filled. Knows no run and no
instant, and is given secrets opened.
"""

import base64
from collections.abc import Iterator, Mapping
from functools import lru_cache
from uuid import UUID

import msgspec

from scheduler_svc.delivery import cloudevents, wire
from scheduler_svc.delivery.exchange import CONNECT_SECONDS_MAX, Route, sharing
from scheduler_svc.delivery.redaction import credentials, needles
from scheduler_svc.delivery.render import Templates, templates_of
from scheduler_svc.delivery.trust import Trust, trust_of
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import (
    NO_BODY,
    BasicAuth,
    BearerAuth,
    Definition,
    OidcAuth,
    Target,
)
from scheduler_svc.domain.redaction import Redaction, redaction_of
from scheduler_svc.domain.secrecy import is_secret_header
from scheduler_svc.domain.template_places import parse_query
from scheduler_svc.domain.templates import OPEN, TemplateRefused
from scheduler_svc.domain.url import Url, parse_url

NOTHING_PRIVATE: frozenset[bytes] = frozenset()
NAMED = b"\r\nScheduler-Job-Name: "
JSON_TYPE = (b"Content-Type", b"application/json")


class Prepared(msgspec.Struct, frozen=True, gc=False):
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
    signed: bool = True
    """False where the job asked for no signature."""
    masked: tuple[bytes, ...] = ()
    """The job's secrets, in every spelling in which a target might give them back."""
    private: frozenset[bytes] = frozenset()
    templates: Templates | None = None
    labels: Mapping[str, str] = {}
    event: cloudevents.Event | None = None
    audience: str | None = None
    job: bytes = b""
    """The job's id, as a header has it."""
    blocked: str | None = None
    """Why nothing of this job can be sent, where its secrets can not be opened here."""
    route: Route | None = None
    """Where it goes, for attempts that differ by the run alone and need nothing looked up."""
    opening: bytes = b""
    """Of such a job: how each message begins, up to the headers that tell the run."""
    named: bytes = b""
    """Of such a job that has a name: the line that says it."""

    def __repr__(self) -> str:
        """Show where it goes, and nothing that it carries."""
        return f"Prepared({self.method} {self.url.origin})"

    @property
    def plain(self) -> bool:
        """Tell whether attempts differ by the run alone, and hold nothing secret."""
        return not (self.masked or self.templates or self.audience or self.blocked)


def prepare(
    definition: Definition,
    *,
    namespace: str,
    version: str,
    job_id: UUID,
    public_url: str | None = None,
) -> Prepared:
    """Build what all attempts of this revision share; raise UrlRefused where the URL is none."""
    alike = prepare_target(definition.target, namespace=namespace, version=version)
    return prepare_job(alike, definition, job_id=job_id, public_url=public_url)


def prepare_job(
    alike: Prepared, definition: Definition, *, job_id: UUID, public_url: str | None
) -> Prepared:
    """Add what is a job's own to what all jobs of its target have alike."""
    event = definition.target.format == "cloudevents"
    return msgspec.structs.replace(
        alike,
        labels=definition.labels,
        event=cloudevents.event_of(job_id, definition.name, public_url) if event else None,
        job=str(job_id).encode(),
        named=b"" if definition.name is None else NAMED + definition.name.encode(),
    )


def prepare_target(target: Target, *, namespace: str, version: str) -> Prepared:
    """Build what the jobs of a target share; raise UrlRefused where its URL is none."""
    headers = {"user-agent": (b"User-Agent", f"scheduler-svc/{version}".encode())}
    body, text = _body(target)
    if text is not None:
        headers["content-type"] = JSON_TYPE
    given = _with_auth(target)
    if given:
        headers.update(by_name(given))
    templates = templates_of(given, target.url, text)
    url = _url(target.url)
    masked = needles(_secrets(target, given)) if given or target.auth is not None else ()
    tls = None if target.tls is None else trust_of(target.tls)
    timeout, opening = milliseconds(target.timeout) / 1000, None
    route_of = _shared_route if tls is None else _own_route
    if not (masked or templates or _needs_more(target)):
        opening = wire.opening(target.method, url, list(headers.values()), body)
    return Prepared(
        method=target.method,
        url=url,
        headers=headers,
        body=body,
        timeout=timeout,
        redirects=target.redirects,
        partition=namespace,
        tls=tls,
        redact=redaction_of(target.redact.headers, target.redact.pointers),
        signed=target.sign is not False,
        masked=masked,
        private=NOTHING_PRIVATE if templates is None else templates.private(),
        templates=templates,
        audience=target.auth.audience if isinstance(target.auth, OidcAuth) else None,
        route=route_of(url, timeout, namespace, tls) if opening else None,
        opening=opening or b"",
    )


def _body(target: Target) -> tuple[bytes, str | None]:
    """Return what is sent, and as text where it is JSON."""
    if isinstance(target.body_base64, str):
        return base64.b64decode(target.body_base64), None
    if bytes(target.body) == bytes(NO_BODY):
        return b"", None
    body = bytes(target.body)
    return body, body.decode()


def _needs_more(target: Target) -> bool:
    """Tell whether an attempt takes more than its bytes: a token, a report, an event, redirects."""
    return (
        target.completion != "response"
        or target.format != "plain"
        or target.redirects > 0
        or isinstance(target.auth, OidcAuth)
    )


def _own_route(url: Url, timeout: float, namespace: str, tls: Trust | None) -> Route:
    return Route(
        url=url,
        connect_timeout=min(CONNECT_SECONDS_MAX, timeout),
        partition=namespace,
        tls=tls,
        key=sharing(url, namespace, tls, None),
    )


# One for all jobs that go the same way; a key of a client is kept no longer than its job.
_shared_route = lru_cache(maxsize=1024)(_own_route)


def by_name(given: dict[str, str]) -> dict[str, tuple[bytes, bytes]]:
    """Key headers by their name in lower case: two spellings of one name are one header."""
    return {name.lower(): (name.encode(), value.encode()) for name, value in given.items()}


def secret_values(headers: dict[str, str]) -> Iterator[str]:
    """Yield what is secret in the values of secret headers."""
    for name, value in headers.items():
        if is_secret_header(name) and OPEN not in value:
            yield from credentials(value)


def _with_auth(target: Target) -> dict[str, str]:
    match target.auth:
        case BasicAuth(username=username, password=password):
            pair = base64.b64encode(f"{username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}", **target.headers}
        case BearerAuth(token=token):
            return {"Authorization": f"Bearer {token}", **target.headers}
        case OidcAuth() | None:
            return target.headers


def _secrets(target: Target, given: dict[str, str]) -> Iterator[str]:
    yield from secret_values(given)
    if isinstance(target.auth, BasicAuth):
        yield target.auth.password


def _url(text: str) -> Url:
    """Read an address; what stands in its templates is filled for each attempt."""
    try:
        return parse_url(parse_query(text)[0])
    except TemplateRefused:
        return parse_url(text)
