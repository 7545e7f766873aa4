"""Reads the settings from an environment that is handed in.

Promises all faults at once, a near miss for every misspelt name, and never a secret in a message.
Will not fall back silently: a value that cannot be used is a fault.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

import msgspec

from scheduler_svc.domain import duration
from scheduler_svc.domain.egress_entries import entry_faults
from scheduler_svc.settings import edge
from scheduler_svc.settings.fault import SettingFault, SettingsRefused
from scheduler_svc.settings.fields import DEVELOPMENT, Settings
from scheduler_svc.settings.names import DEFAULTS, HINTS, PREFIX, is_duration, variable, wanted
from scheduler_svc.store.vault import read_key

# Kubernetes sets such names in every pod for a Service called scheduler or scheduler-svc.
_SERVICE_LINK = re.compile(r"^SCHEDULER_(SVC_.*|SERVICE_HOST|SERVICE_PORT.*|PORT_\d+_.*)$")
_LINK_HINT = " (Kubernetes sets this for a Service called scheduler: enableServiceLinks: false)"
OF_CLIENTS = frozenset(
    f"SCHEDULER_{name}"
    for name in ("URL", "KEY", "NAMESPACE", "CONFIG", "CLIENT_CERT", "CLIENT_KEY")
)
"""What tells a command where a running service is, in the same shell perhaps; SCHEDULER_CA_FILE
does too, and is a setting besides."""
BOOTSTRAP_KEY_MIN = 16
JWT_SECRET_MIN = 32
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def load(environ: Mapping[str, str], *, terminal: bool = False) -> Settings:
    """Read the settings; `terminal` says whether people read the log, which they may in columns.

    Raises SettingsRefused with all faults: unknown names, bad values, values at odds.
    """
    faults = [*_unknown(environ), *edge.left_over(environ)]
    given: dict[str, Any] = {}
    for field in DEFAULTS:
        # An empty value is an unset one: compose files and shells write both.
        if text := environ.get(variable(field), "").strip():
            try:
                given[field] = _value(field, text)
            except ValueError as error:
                faults.append(SettingFault(variable(field), str(error)))
    faults.extend(_key_faults(given.get("secret_keys", ())))
    profile: dict[str, Any] = dict(DEVELOPMENT) if given.get("profile") == "development" else {}
    if not terminal:
        profile.pop("log_format", None)
    settings = Settings(**(profile | given))
    faults.extend(_egress_faults(settings))
    faults.extend(edge.list_faults(settings))
    if not faults:  # else defaults stand in for bad values and would be blamed for them
        faults.extend(_at_odds(settings))
    if faults:
        raise SettingsRefused(faults)
    return settings


def _unknown(environ: Mapping[str, str]) -> Iterator[SettingFault]:
    known = {variable(field) for field in DEFAULTS}
    for name in sorted(environ):
        if name in OF_CLIENTS:
            continue
        if name.startswith(PREFIX) and name not in known and not _SERVICE_LINK.match(name):
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield SettingFault(name, f"there is no such setting{hint}")


def _value(field: str, text: str) -> object:
    """Read one text as its field's type; the types of secrets are plain text and refuse nothing."""
    hint = HINTS[field]
    try:
        return msgspec.convert(_raw(field, text), hint, strict=False)
    except (msgspec.ValidationError, ValueError) as error:
        link = _LINK_HINT if field == "port" and "://" in text else ""
        reason = wanted(field) or str(error)
        raise ValueError(f"{text!r} is not {reason}{link}") from None


def _raw(field: str, text: str) -> object:
    """Undo what an environment cannot say: durations, lists, and the words for yes and no."""
    if is_duration(field):
        return duration.milliseconds(text) / 1000
    match DEFAULTS[field]:
        case bool():
            return _WORDS.get(text.lower(), text)
        case tuple():
            return tuple(part.strip() for part in text.split(",") if part.strip())
        case _:
            return text


def _key_faults(keys: Sequence[str]) -> Iterator[SettingFault]:
    """Find keys that are none, by their place: a key is never shown."""
    name = variable("secret_keys")
    seen: dict[bytes, int] = {}
    for number, text in enumerate(keys, 1):
        try:
            key = read_key(text)
        except ValueError as error:
            hint = "; make one with: openssl rand -base64 32"
            yield SettingFault(name, f"key {number} {error}{hint}")
            continue
        first = seen.setdefault(key, number)
        if first != number:
            yield SettingFault(name, f"key {number} is key {first} again")


def _egress_faults(settings: Settings) -> Iterator[SettingFault]:
    """Name every entry of the egress lists that is none: a rule not read protects nobody."""
    for field in ("egress_allow", "egress_deny"):
        for _, fault in entry_faults(getattr(settings, field)):
            yield SettingFault(variable(field), fault)


def _at_odds(settings: Settings) -> Iterator[SettingFault]:
    """Find values that are good alone and wrong together."""
    if settings.database_url is not None and not _is_postgres(settings.database_url):
        yield SettingFault("DATABASE_URL", "must be like postgresql://user:password@host:5432/name")
    if settings.read_database_url is not None and not _is_postgres(settings.read_database_url):
        yield SettingFault(
            variable("read_database_url"), "must be like postgresql://user:password@host:5432/name"
        )
    if settings.database_url is None and settings.profile == "production":
        yield SettingFault("DATABASE_URL", "must be set in the production profile")
    if settings.profile == "development" and not edge.is_loopback(settings.host):
        yield SettingFault(
            variable("host"), "the development profile asks for no keys, so it serves loopback only"
        )
    if settings.bootstrap_key is not None and len(settings.bootstrap_key) < BOOTSTRAP_KEY_MIN:
        yield SettingFault(
            variable("bootstrap_key"), f"must have at least {BOOTSTRAP_KEY_MIN} characters"
        )
    yield from edge.tls_faults(settings)
    yield from _token_faults(settings)
    if settings.heartbeat * 3 > settings.lease:
        yield SettingFault(
            variable("heartbeat"), "must be at most a third of the lease, so that two may be missed"
        )
    if settings.breaker_wait > settings.breaker_wait_max:
        yield SettingFault(
            variable("breaker_wait"),
            f"is more than {variable('breaker_wait_max')}, which bounds it",
        )
    for field in ("ping_url", "public_url", "trace_url"):
        address = getattr(settings, field)
        if address is not None and not _is_http(address):
            yield SettingFault(variable(field), "must begin with http:// or https:// and a host")


def _token_faults(settings: Settings) -> Iterator[SettingFault]:
    """Find what identity tokens lack, or have too much of."""
    shared = settings.jwt_algorithm == "HS256"
    if settings.jwt_algorithm is None:
        for field in ("jwt_issuer", "jwt_audience", "jwt_jwks", "jwt_secret"):
            if getattr(settings, field) is not None:
                yield SettingFault(variable(field), f"needs {variable('jwt_algorithm')} beside it")
        return
    for field in ("jwt_issuer", "jwt_audience", "jwt_secret" if shared else "jwt_jwks"):
        if getattr(settings, field) is None:
            detail = f"must be set where {variable('jwt_algorithm')} is {settings.jwt_algorithm}"
            yield SettingFault(variable(field), detail)
    other = "jwt_jwks" if shared else "jwt_secret"
    if getattr(settings, other) is not None:
        yield SettingFault(variable(other), f"is of no use to {settings.jwt_algorithm}; remove it")
    if shared and len((settings.jwt_secret or "").encode()) < JWT_SECRET_MIN:
        detail = f"must have at least {JWT_SECRET_MIN} bytes (RFC 7518, 3.2)"
        yield SettingFault(variable("jwt_secret"), detail)
    if (settings.jwt_jwks or "").startswith("http:") and settings.profile == "production":
        yield SettingFault(variable("jwt_jwks"), "must be https: who changes it may be anybody")


def _is_postgres(address: str) -> bool:
    """Judge each host of it: an address may name several, of which the one that fits is taken."""
    try:
        parts = urlsplit(address)
        for host in parts.netloc.rpartition("@")[2].split(","):
            _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    return parts.scheme in {"postgres", "postgresql"}


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
