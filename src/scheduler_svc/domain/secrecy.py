"""Which parts of a target are secret, and the one walk over them.

Promises that masking, sealing, opening and comparing see the same values under the same places.
Knows no cipher: what becomes of a value is the business of the function that is handed in.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from msgspec import structs

from scheduler_svc.domain.jobs import Auth, BasicAuth, BearerAuth, OidcAuth, Target
from scheduler_svc.domain.tls import Tls

MASK = "***"
NAMED, SIGNING, IDENTITY = "secret", "signing secret", "identity key"
"""What a sealed value is for, besides the secrets of a job's target."""
TLS_KEY = "tls/key"
SECRET_HEADER = re.compile(
    r"authorization|cookie|.*-(?<!idempotency-)key|.*-token", re.IGNORECASE | re.DOTALL
)
Change = Callable[[str, str], str]
"""Takes where a secret stands in its target, and the secret; gives what stands there instead."""


class Place(Protocol):
    """Where a sealed value stands, as the words that it is bound to."""

    def __call__(self, within: str, /) -> str: ...


@lru_cache(maxsize=1024)
def is_secret_header(name: str) -> bool:
    """Tell whether a header's value is a secret, by the header's name."""
    return SECRET_HEADER.fullmatch(name) is not None


def place_of_target(namespace: str, job_id: UUID) -> Place:
    """Return where the secrets of a job's target stand, those of its triggers too."""
    return lambda within: f"{namespace}\0job {job_id}\0{within}"


def place_of(namespace: str, purpose: str, name: str) -> str:
    """Return where a secret of a namespace stands."""
    return f"{namespace}\0{purpose}\0{name}"


def change_headers(headers: dict[str, str], change: Change) -> dict[str, str]:
    """Change the values of the secret headers."""
    return {
        name: change(f"headers/{name.lower()}", value) if is_secret_header(name) else value
        for name, value in headers.items()
    }


def change_target(target: Target, change: Change) -> Target:
    """Change every secret of a target; one without any is answered as it is."""
    headers = change_headers(target.headers, change)
    auth, tls = _change_auth(target.auth, change), _change_tls(target.tls, change)
    if (headers, auth, tls) == (target.headers, target.auth, target.tls):
        return target
    return structs.replace(target, headers=headers, auth=auth, tls=tls)


def may_hold_secrets(target: Target) -> bool:
    """Tell at a glance whether there is anything to change."""
    return bool(target.headers) or target.auth is not None or target.tls is not None


def masked_target(target: Target) -> Target:
    """Return the target as it is shown."""
    return change_target(target, lambda _where, _value: MASK)


def secrets_of(target: Target) -> Iterator[tuple[str, str]]:
    """Yield each secret of a target, with where it stands."""
    found: list[tuple[str, str]] = []

    def look(where: str, value: str) -> str:
        found.append((where, value))
        return value

    change_target(target, look)
    yield from found


def _change_tls(tls: Tls | None, change: Change) -> Tls | None:
    if tls is None or tls.key is None:
        return tls
    return structs.replace(tls, key=change(TLS_KEY, tls.key))


def _change_auth(auth: Auth | None, change: Change) -> Auth | None:
    match auth:
        case BasicAuth():
            return structs.replace(auth, password=change("auth/password", auth.password))
        case BearerAuth():
            return structs.replace(auth, token=change("auth/token", auth.token))
        case OidcAuth() | None:
            return auth
