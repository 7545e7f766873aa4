"""The claims of an identity token: when it counts, and whom it stands for.

Pure: signature, issuer and audience have been judged before (RFC 7519); here are the times, by the
clock of the caller, and the mapping to a namespace and scopes.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from scheduler_svc.domain.access import EVERY, NAMESPACE_PATTERN, SCOPES, Caller, Scope

LEEWAY_SECONDS_MAX: Final = 60
SUBJECT_MAX: Final = 255
NAME_MAX: Final = 128
_LAST_SECOND: Final = 253_402_300_799  # the end of the year 9999
_NAMESPACE = re.compile(NAMESPACE_PATTERN.removesuffix("$"))


class ClaimRules(Struct, frozen=True, kw_only=True):
    """Where the namespace and the scopes stand, and by how much clocks may be apart."""

    namespace_claim: str = "namespace"
    scope_claim: str = "scope"
    default_namespace: str = "default"
    leeway_seconds: float = 30.0


class ClaimsRefused(Exception):
    """The claims are not those of a token that counts now."""


def caller_of(claims: Mapping[str, Any], rules: ClaimRules, *, now_ms: int) -> Caller:
    """Return whom a token stands for; raise ClaimsRefused."""
    _check_times(claims, now_ms / 1000, rules.leeway_seconds)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MAX or "\0" in subject:
        raise ClaimsRefused("sub")
    return Caller(
        id=f"jwt:{claims.get('iss')}:{subject}",
        name=subject[:NAME_MAX],
        namespace=_namespace(claims.get(rules.namespace_claim), rules.default_namespace),
        scopes=frozenset(_scopes(claims.get(rules.scope_claim))),
    )


def _check_times(claims: Mapping[str, Any], now: float, leeway: float) -> None:
    """Judge exp, nbf and iat: exp must be there, and each that is must be a number of seconds."""
    if now >= _seconds(claims, "exp") + leeway:
        raise ClaimsRefused("exp")
    for name in ("nbf", "iat"):
        if name in claims and now < _seconds(claims, name) - leeway:
            raise ClaimsRefused(name)


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimsRefused(name)
    if not math.isfinite(value) or not 0 <= value <= _LAST_SECOND:
        raise ClaimsRefused(name)
    return value


def _namespace(value: Any, default: str) -> str:
    """Read the namespace; a token that names none is for the default, never for all."""
    if value is None:
        return default
    if not isinstance(value, str) or not (value == EVERY or _NAMESPACE.fullmatch(value)):
        raise ClaimsRefused("namespace")
    return value


def _scopes(value: Any) -> Iterator[Scope]:
    """Read scopes from a list, or a text with spaces (RFC 8693, 4.2); other services' are left."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list):
        raise ClaimsRefused("scope")
    yield from (scope for scope in SCOPES if scope in words)
