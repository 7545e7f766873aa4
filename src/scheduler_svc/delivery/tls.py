"""Trust: the one place that makes TLS contexts, and puts names to what fails in them.

Verification is on, TLS 1.2 is the least, and nothing here can switch that off.
"""

import secrets
import ssl
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import serialization


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Make a context that trusts the system's authorities, and those of `ca_file` beside them."""
    context = ssl.create_default_context()
    _harden(context)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def target_context(
    *, ca: str | None, ca_file: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """Make a context of a target's own: its authorities instead of all others, its certificate."""
    if ca is None:
        context = client_context(ca_file)
    else:
        context = ssl.create_default_context(cadata=_der(ca))
        _harden(context)
        # An intermediate authority, or the server's own certificate, may be all that is trusted.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if certificate is not None and key is not None:
        _show(context, certificate, key)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])


def _der(pem: str) -> bytes:
    """Leave out what stands between the certificates of a PEM text."""
    found = x509.load_pem_x509_certificates(pem.encode())
    return b"".join(one.public_bytes(serialization.Encoding.DER) for one in found)


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a certificate and its key, which OpenSSL takes from files alone.

    What is written there is encrypted under a password that nobody keeps.
    """
    password = secrets.token_hex(32).encode()
    read = serialization.load_pem_private_key(
        key.encode(), None, unsafe_skip_rsa_key_validation=True
    )
    encrypted = read.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )
    with tempfile.NamedTemporaryFile(prefix="scheduler-", suffix=".pem") as file:
        file.write(certificate.encode() + b"\n" + encrypted)
        file.flush()
        context.load_cert_chain(file.name, password=password)


def reason(fault: ssl.SSLError) -> str:
    """Answer a short, stable sentence for a failed handshake."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {fault.verify_message}"
    return f"TLS failed: {(fault.reason or 'handshake failure').replace('_', ' ').lower()}"
