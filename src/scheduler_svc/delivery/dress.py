"""A prepared job dressed for one attempt: token, named secrets, filled templates, what to mask.

Pure: what has to be read was read before. Promises that the answer's redaction knows every secret
that the request holds, also those that only this attempt has.
"""

from collections.abc import Mapping

import msgspec

from scheduler_svc.delivery.prepare import Prepared, secret_values
from scheduler_svc.delivery.redaction import credentials, needles
from scheduler_svc.delivery.render import (
    Filled,
    Templates,
    check_size,
    fill,
    filled_overrides,
    filled_url,
    templates_of,
)
from scheduler_svc.delivery.request import Sending
from scheduler_svc.domain.runs import Overrides
from scheduler_svc.domain.secrecy import is_secret_header
from scheduler_svc.domain.templates import Facts

NOTHING = Templates()


class Dressed(msgspec.Struct, frozen=True):
    """A job's requests as this attempt makes them, and what must not be kept of the answer."""

    prepared: Prepared
    overrides: Overrides | None
    masked: tuple[bytes, ...]


class Needs(msgspec.Struct, frozen=True):
    """The templates of a trigger's own, and the names of all secrets that an attempt needs."""

    own: Templates
    secrets: frozenset[str]


def needs(prepared: Prepared, overrides: Overrides | None) -> Needs:
    """Find out what has to be read for an attempt."""
    own = NOTHING
    if overrides is not None:
        own = templates_of(overrides.headers or {}, "", overrides.body) or NOTHING
    return Needs(own, (prepared.templates or NOTHING).secrets() | own.secrets())


def dress(
    prepared: Prepared,
    overrides: Overrides | None,
    needed: Needs,
    *,
    sending: Sending,
    secrets: Mapping[str, str],
    token: str | None,
) -> Dressed:
    """Make what `request` sends; raise Unsendable."""
    facts = _facts(prepared, sending)
    secret = [*secrets.values()]
    if token is not None:
        secret.append(token)
        prepared = _with_token(prepared, token)
    if prepared.templates is not None:
        filled = fill(prepared.templates, facts, secrets)
        secret += _secret_values(filled)
        prepared = _with_filled(prepared, filled)
    if overrides is not None:
        own = fill(needed.own, facts, secrets)
        overrides = filled_overrides(overrides, own)
        secret += secret_values(overrides.headers or {})
        private = prepared.private | needed.own.private()
        prepared = msgspec.structs.replace(prepared, private=private)
    masked = needles(secret) + prepared.masked if secret else prepared.masked
    return Dressed(prepared, overrides, masked)


def _facts(prepared: Prepared, sending: Sending) -> Facts:
    return Facts(
        run_id=sending.run_id,
        scheduled_ms=sending.scheduled_ms,
        attempt=sending.attempt,
        trigger=sending.trigger,
        job_id=sending.job_id,
        job_name=sending.job_name,
        labels=prepared.labels,
    )


def _with_token(prepared: Prepared, token: str) -> Prepared:
    line = (b"Authorization", b"Bearer " + token.encode())
    return msgspec.structs.replace(prepared, headers={**prepared.headers, "authorization": line})


def _with_filled(prepared: Prepared, filled: Filled) -> Prepared:
    headers = dict(prepared.headers)
    for name, value in filled.headers.items():
        headers[name] = (headers[name][0], value.encode())
    check_size(headers)
    return msgspec.structs.replace(
        prepared,
        headers=headers,
        url=prepared.url if filled.query is None else filled_url(prepared.url, filled.query),
        body=prepared.body if filled.body is None else filled.body.encode(),
    )


def _secret_values(filled: Filled) -> list[str]:
    return [
        part
        for name, value in filled.headers.items()
        if is_secret_header(name)
        for part in credentials(value)
    ]
