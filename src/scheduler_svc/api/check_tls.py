"""Judging `target.tls`: authorities, certificate and key, each and together.

Its key is a secret like others, kept and masked by `check_secrets`. A certificate that is there
already is not judged by its age again, so that a job whose certificate ran out can still be edited.
"""

from collections.abc import Iterator
from datetime import datetime

from cryptography.x509 import Certificate

from scheduler_svc.api.check_secrets import Safe
from scheduler_svc.domain.certificates import (
    fits,
    read_certificates,
    read_key,
    strength_fault,
    validity_faults,
)
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import Definition, Target
from scheduler_svc.domain.secrecy import MASK, TLS_KEY
from scheduler_svc.domain.tls import Tls
from scheduler_svc.domain.url import UrlRefused, parse_url
from scheduler_svc.store.vault import Unopenable, open_text

KEY_LENGTH_MAX = 16_384
EMPTY = Tls()


def tls_faults(
    target: Target, *, stored: Definition | None, safe: Safe, now: datetime
) -> Iterator[Fault]:
    """Name every fault of a target's TLS; pointers are relative to it."""
    tls = target.tls
    if tls is None:
        return
    if tls == EMPTY:
        yield Fault("", "says nothing; give ca, certificate and key, or server_name, or null")
    if target.url[:7].lower() == "http://":
        yield Fault("", "has no effect on http://; use https://")
    before = EMPTY if stored is None else stored.target.tls or EMPTY
    yield from _ca_faults(tls.ca, before.ca, now)
    yield from _identity_faults(tls, before, safe, now)
    yield from _name_faults(tls.server_name)


def _ca_faults(ca: str | None, before: str | None, now: datetime) -> Iterator[Fault]:
    if ca is None or ca == before:
        return
    try:
        certificates = read_certificates(ca)
    except ValueError as fault:
        yield Fault("/ca", str(fault))
        return
    for detail in validity_faults(certificates, now):
        yield Fault("/ca", detail)


def _identity_faults(tls: Tls, before: Tls, safe: Safe, now: datetime) -> Iterator[Fault]:
    """Judge certificate and key, each and together."""
    leaf = None
    if tls.certificate is not None:
        try:
            certificates = read_certificates(tls.certificate)
        except ValueError as fault:
            yield Fault("/certificate", str(fault))
        else:
            leaf = certificates[0]
            known = tls.certificate == before.certificate
            for detail in () if known else _certificate_faults(certificates, now):
                yield Fault("/certificate", detail)
    elif tls.key is not None:
        yield Fault("/certificate", "is needed beside a key")
    if tls.key is not None:
        yield from _key_faults(tls, before, safe, leaf)
    elif tls.certificate is not None:
        yield Fault("/key", "is needed beside a certificate")


def _certificate_faults(certificates: list[Certificate], now: datetime) -> Iterator[str]:
    yield from validity_faults(certificates, now)
    if (weakness := strength_fault(certificates[0])) is not None:
        yield weakness


def _key_faults(tls: Tls, before: Tls, safe: Safe, leaf: Certificate | None) -> Iterator[Fault]:
    """Judge a key by itself and beside its certificate; a kept one beside the same was judged."""
    kept = tls.key == MASK and before.key is not None
    if tls.key is None or (kept and tls.certificate == before.certificate):
        return
    try:
        text = _given_key(tls.key, before, safe)
        if text is None:
            return
        key = read_key(text)
    except ValueError as fault:
        yield Fault("/key", str(fault))
        return
    if leaf is not None and not fits(leaf, key):
        yield Fault("/key", "is not the key of the certificate; give the two that belong together")


def _given_key(given: str, before: Tls, safe: Safe) -> str | None:
    """Return the text of the key that is meant, None where a secret's own faults say why not.

    ValueError where there is one that can not be used.
    """
    if given != MASK:
        if len(given) > KEY_LENGTH_MAX:
            raise ValueError(f"has {len(given)} characters; at most {KEY_LENGTH_MAX}")
        return given
    if before.key is None:
        return None
    try:
        return open_text(safe.ring, before.key, safe.place(TLS_KEY))
    except Unopenable:
        raise ValueError(
            "can not be opened to be compared with another certificate; give the key"
        ) from None


def _name_faults(name: str | None) -> Iterator[Fault]:
    if name is None:
        return
    shown = f"[{name}]" if ":" in name else name
    try:
        url = parse_url(f"https://{shown}/")
    except UrlRefused as refused:
        yield Fault("/server_name", f"is no name of a server: it {refused.reason}")
        return
    if url.host != name:
        yield Fault("/server_name", f"is no name of a server as it goes out; write '{url.host}'")
