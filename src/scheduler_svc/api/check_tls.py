"""Judging `target.tls`, and what is stored of it: its private key only sealed.

A certificate that is there already is not judged by its age again, so that a job whose certificate
ran out can still be edited.
"""

from collections.abc import Iterator
from datetime import datetime

from cryptography.x509 import Certificate
from msgspec import structs

from scheduler_svc.domain.certificates import (
    fits,
    read_certificates,
    read_key,
    strength_fault,
    validity_faults,
)
from scheduler_svc.domain.errors import Fault
from scheduler_svc.domain.jobs import Definition, Target
from scheduler_svc.domain.key_box import MASK, NO_RING, KeyBox, KeyLocked, open_key, seal_key
from scheduler_svc.domain.tls import Tls
from scheduler_svc.domain.url import UrlRefused, parse_url

KEY_LENGTH_MAX = 16_384
EMPTY = Tls()


def tls_faults(
    target: Target, *, stored: Definition | None, box: KeyBox | None, now: datetime
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
    yield from _identity_faults(tls, before, box, now)
    yield from _name_faults(tls.server_name)


def kept_tls(tls: Tls | None, *, stored: Definition | None, box: KeyBox | None) -> Tls | None:
    """Return what to store of a judged one: a key that is the stored one stays as it is sealed."""
    if tls is None or tls.key is None:
        return tls
    before = EMPTY if stored is None else stored.target.tls or EMPTY
    if before.key is not None and tls.key in {MASK, _opened(box, before.key)}:
        return structs.replace(tls, key=before.key)
    return structs.replace(tls, key=seal_key(box, tls.key))


def masked(definition: Definition) -> Definition:
    """Return a definition as it is shown: its private key as the mask."""
    return structs.replace(definition, target=masked_target(definition.target))


def masked_target(target: Target) -> Target:
    """Return a target as it is shown."""
    if target.tls is None or target.tls.key is None:
        return target
    return structs.replace(target, tls=structs.replace(target.tls, key=MASK))


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


def _identity_faults(tls: Tls, before: Tls, box: KeyBox | None, now: datetime) -> Iterator[Fault]:
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
        yield from _key_faults(tls, before, box, leaf)
    elif tls.certificate is not None:
        yield Fault("/key", "is needed beside a certificate")


def _certificate_faults(certificates: list[Certificate], now: datetime) -> Iterator[str]:
    yield from validity_faults(certificates, now)
    if (weakness := strength_fault(certificates[0])) is not None:
        yield weakness


def _key_faults(
    tls: Tls, before: Tls, box: KeyBox | None, leaf: Certificate | None
) -> Iterator[Fault]:
    """Judge a key by itself and beside its certificate; a kept one beside the same was judged."""
    kept = tls.key == MASK and before.key is not None
    if tls.key is None or (kept and tls.certificate == before.certificate):
        return
    try:
        key = read_key(_given_key(tls.key, before.key, box))
    except ValueError as fault:
        yield Fault("/key", str(fault))
        return
    if leaf is not None and not fits(leaf, key):
        yield Fault("/key", "is not the key of the certificate; give the two that belong together")


def _given_key(given: str, stored: str | None, box: KeyBox | None) -> str:
    """Return the text of the key that is meant; ValueError where there is none to be had."""
    if given != MASK:
        if box is None:
            raise ValueError(NO_RING)
        if len(given) > KEY_LENGTH_MAX:
            raise ValueError(f"has {len(given)} characters; at most {KEY_LENGTH_MAX}")
        return given
    if stored is None:
        raise ValueError(f"is '{MASK}', which keeps a stored key, and there is none; give the key")
    try:
        return open_key(box, stored)
    except KeyLocked:
        raise ValueError(
            "can not be opened to be compared with another certificate; give the key"
        ) from None


def _opened(box: KeyBox | None, stored: str) -> str | None:
    try:
        return open_key(box, stored)
    except KeyLocked:
        return None


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
