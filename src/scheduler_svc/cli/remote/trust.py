"""Whom a command trusts that asks over TLS, and as whom it comes: files in PEM.

Promises that the system's authorities are among those trusted, that nothing switches verification
off, and that nobody is asked for the password of a key.
"""

import ssl
from pathlib import Path
from typing import NamedTuple, NoReturn


class Files(NamedTuple):
    """Where authorities, our certificate and its key are; the key may be in the file before it."""

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None


def context_of(files: Files) -> ssl.SSLContext:
    """Make a context of them; raise ValueError that names the file which can not be used."""
    context = ssl.create_default_context()
    if files.ca_file is not None:
        path = Path(files.ca_file).expanduser()
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ValueError(f"{path}: {_why(error)}; authorities are wanted, as PEM") from None
    if files.client_cert is not None:
        _come_as(context, files.client_cert, files.client_key)
    elif files.client_key is not None:
        raise ValueError(f"{files.client_key}: a client's key needs its certificate")
    return context


def _come_as(context: ssl.SSLContext, certificate: str, key: str | None) -> None:
    path = Path(certificate).expanduser()
    key_path = None if key is None else Path(key).expanduser()
    named = f"{path}" if key_path is None else f"{path} and {key_path}"

    def locked() -> NoReturn:
        raise ValueError(f"{key_path or path}: the key is encrypted; nobody is asked for passwords")

    try:
        context.load_cert_chain(path, key_path, password=locked)
        context.post_handshake_auth = True  # for servers that ask at a path, and not at once
    except OSError as error:
        raise ValueError(f"{named}: {_why(error)}; a certificate and its key are wanted") from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "").replace("_", " ").lower() or "it is no PEM"
    return error.strerror or str(error)
