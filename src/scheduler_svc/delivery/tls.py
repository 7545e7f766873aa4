"""Trust: the one place that makes TLS contexts, and puts names to what fails in them.

Verification is on, TLS 1.2 is the least, and nothing here can switch that off.
"""

import ssl


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Make a context that trusts the system's authorities, and those of `ca_file` beside them."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def reason(fault: ssl.SSLError) -> str:
    """Answer a short, stable sentence for a failed handshake."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {fault.verify_message}"
    return f"TLS failed: {(fault.reason or 'handshake failure').replace('_', ' ').lower()}"
