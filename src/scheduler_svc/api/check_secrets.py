"""Secrets in what a client sends: judged, sealed before they are stored, shown as a mask.

The mask sent back keeps what is stored, and so does the same value again: it is not sealed anew.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from scheduler_svc.api.check_headers import size_faults
from scheduler_svc.api.validate_json import member
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import BasicAuth, BearerAuth, Definition, OidcAuth, Target
from scheduler_svc.domain.secrecy import (
    MASK,
    Place,
    change_headers,
    change_target,
    is_secret_header,
    secrets_of,
)
from scheduler_svc.store.vault import (
    KeyRing,
    Unopenable,
    is_sealed,
    open_text,
    plain_length,
)

VALUE_MAX = 8192
NO_RING = (
    "is a secret, and there is no key to keep it with: set SCHEDULER_SECRET_KEYS"
    " (openssl rand -base64 32 makes one)"
)
NOTHING_STORED = f"is the mask '{MASK}', and nothing is stored that it could keep; give the value"
_TOKEN = re.compile(r"[\x20-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Safe(Struct, frozen=True, kw_only=True):
    """What secrets are kept with: the ring, where they stand, and what stands there already."""

    ring: KeyRing | None
    place: Place
    stored: Mapping[str, str]


def stored_secrets(definition: Definition | None) -> dict[str, str]:
    """Return the secrets of a stored definition as they are stored, by where they stand."""
    return {} if definition is None else dict(secrets_of(definition.target))


def secret_faults(target: Target, safe: Safe, *, public_url: str | None) -> Iterator[Fault]:
    """Name every fault of a target's secrets; pointers are relative to it."""
    pointers = _pointers(target.headers, "/headers")
    for where, value in secrets_of(target):
        yield from _kept_faults(where, value, safe, pointers.get(where, f"/{where}"))
    yield from masked_size_faults(target.headers, safe, "/headers")
    yield from _auth_faults(target, safe, public_url)


def sealed_target(target: Target, safe: Safe) -> Target:
    """Return a target, judged good, as it is stored."""
    return change_target(target, lambda where, value: _kept(where, value, safe))


def header_secret_faults(headers: Mapping[str, str], safe: Safe, pointer: str) -> Iterator[Fault]:
    """Name every fault of the secrets in the headers of a trigger."""
    pointers = _pointers(headers, pointer)

    def look(where: str, value: str) -> str:
        found.extend(_kept_faults(where, value, safe, pointers[where]))
        return value

    found: list[Fault] = []
    change_headers(dict(headers), look)
    yield from found


def sealed_headers(headers: Mapping[str, str], safe: Safe) -> dict[str, str]:
    """Return the headers of a trigger as they are stored; a mask leaves the job's in force."""
    given = {
        name: value
        for name, value in headers.items()
        if value != MASK or not is_secret_header(name)
    }
    return change_headers(given, lambda where, value: _kept(where, value, safe))


def masked_size_faults(headers: Mapping[str, str], safe: Safe, pointer: str) -> Iterator[Fault]:
    """Judge how long headers are with what their masks stand for."""
    if MASK not in headers.values():
        return
    sizes = {
        name: "x" * plain_length(safe.stored.get(f"headers/{name.lower()}", value))
        if value == MASK
        else value
        for name, value in headers.items()
    }
    yield from size_faults(sizes, pointer)


def _kept_faults(where: str, value: str, safe: Safe, pointer: str) -> Iterator[Fault]:
    if value == MASK:
        if where not in safe.stored:
            yield Fault(pointer, NOTHING_STORED)
    elif safe.ring is None:
        yield Fault(pointer, NO_RING)


def _kept(where: str, value: str, safe: Safe) -> str:
    stored = safe.stored.get(where)
    if stored is not None and (value == MASK or _holds(stored, where, value, safe)):
        if is_sealed(stored) or safe.ring is None:
            return stored
        value = stored  # an older version stored it as it was
    return value if safe.ring is None else safe.ring.seal(value, safe.place(where))


def _holds(stored: str, where: str, value: str, safe: Safe) -> bool:
    """Tell whether a stored secret is this value; one that can not be opened is another."""
    try:
        return open_text(safe.ring, stored, safe.place(where)) == value
    except Unopenable:
        return False


def _pointers(names: Iterable[str], pointer: str) -> dict[str, str]:
    return {f"headers/{name.lower()}": member(pointer, name) for name in names}


def _auth_faults(target: Target, safe: Safe, public_url: str | None) -> Iterator[Fault]:
    auth = target.auth
    if auth is None:
        return
    if any(name.lower() == "authorization" for name in target.headers):
        yield Fault("/auth", "stands beside the header Authorization; give one of the two")
    match auth:
        case BasicAuth():
            if ":" in auth.username:
                yield Fault("/auth/username", "must not hold a colon (RFC 7617)")
            yield from _text_faults("/auth/username", auth.username, _CONTROL.search)
            yield from _text_faults("/auth/password", auth.password, _CONTROL.search)
            if "{{" in auth.username + auth.password:
                yield Fault("/auth", "can not hold a template; use 'bearer' or a header")
        case BearerAuth():
            yield from _text_faults(
                "/auth/token", auth.token, lambda text: not _TOKEN.fullmatch(text)
            )
        case OidcAuth():
            if public_url is None:
                yield Fault("/auth", "needs SCHEDULER_PUBLIC_URL, by which targets find our keys")
            if safe.ring is None:
                yield Fault("/auth", NO_RING.replace("is a secret", "needs a private key"))


def _text_faults(pointer: str, text: str, is_bad: Callable[[str], object]) -> Iterator[Fault]:
    if len(text) > VALUE_MAX:
        yield Fault(pointer, f"has {len(text)} characters; at most {VALUE_MAX} are allowed")
    elif is_bad(text):
        yield Fault(pointer, "is empty, or holds a control or non-ASCII character")
