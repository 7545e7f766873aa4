"""Certificates and keys in PEM, and a box that seals keys as openly as a test needs."""

from base64 import b64decode, b64encode

import trustme

from scheduler_svc.domain.key_box import KeyBox
from scheduler_svc.domain.tls import Tls

SEALED = "sealed:"


def ca_of(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def chain_of(leaf: trustme.LeafCert) -> str:
    return "".join(pem.bytes().decode() for pem in leaf.cert_chain_pems)


def key_of(leaf: trustme.LeafCert) -> str:
    return leaf.private_key_pem.bytes().decode()


class Box:
    """Seals by an encoding that differs from time to time, as encryption does."""

    def __init__(self) -> None:
        self.sealed = self.opened = 0

    def seal(self, text: str) -> str:
        self.sealed += 1
        return f"{SEALED}{self.sealed}:{b64encode(text.encode()).decode()}"

    def unseal(self, stored: str) -> str:
        self.opened += 1
        prefix, _, text = stored.rpartition(":")
        if not prefix.startswith(SEALED):
            raise ValueError("this was never sealed")
        return b64decode(text).decode()

    @property
    def lent(self) -> KeyBox:
        return KeyBox(self.seal, self.unseal)


def stored_tls(
    box: Box,
    *,
    ca: trustme.CA | None = None,
    leaf: trustme.LeafCert | None = None,
    server_name: str | None = None,
) -> Tls:
    """What is stored of a target's TLS."""
    return Tls(
        ca=None if ca is None else ca_of(ca),
        certificate=None if leaf is None else chain_of(leaf),
        key=None if leaf is None else box.seal(key_of(leaf)),
        server_name=server_name,
    )
