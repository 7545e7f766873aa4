"""Certificates and keys in PEM, and a target's TLS made of them."""

import trustme

from scheduler_svc.domain.tls import Tls


def ca_of(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def chain_of(leaf: trustme.LeafCert) -> str:
    return "".join(pem.bytes().decode() for pem in leaf.cert_chain_pems)


def key_of(leaf: trustme.LeafCert) -> str:
    return leaf.private_key_pem.bytes().decode()


def tls_of(
    *,
    ca: trustme.CA | None = None,
    leaf: trustme.LeafCert | None = None,
    server_name: str | None = None,
) -> Tls:
    """What a target says of its TLS, its key opened."""
    return Tls(
        ca=None if ca is None else ca_of(ca),
        certificate=None if leaf is None else chain_of(leaf),
        key=None if leaf is None else key_of(leaf),
        server_name=server_name,
    )
