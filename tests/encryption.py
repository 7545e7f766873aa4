"""Our own port under TLS, for tests: files of certificates, and callers who keep what they saw."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509

from pem import chain_of, key_of


@dataclass(frozen=True)
class Files:
    """Where a certificate and its key lie, and who made them."""

    authority: trustme.CA
    cert: Path
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        return {"tls_cert": str(self.cert), "tls_key": str(self.key)}

    def write(self, *, days: float = 90, authority: trustme.CA | None = None) -> str:
        """Put a fresh certificate there, each file at one stroke; return its serial number."""
        now = dt.datetime.now(dt.UTC)
        leaf = (authority or self.authority).issue_cert(
            "localhost",
            "127.0.0.1",
            not_before=now - dt.timedelta(days=200),
            not_after=now + dt.timedelta(days=days),
        )
        self.put(self.key, key_of(leaf))
        self.put(self.cert, chain_of(leaf))
        return serial_of(chain_of(leaf).encode())

    def put(self, path: Path, text: str) -> None:
        """Replace a file by renaming, as tools that renew certificates do."""
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(path)

    def caller(self) -> ssl.SSLContext:
        """Return what a caller that trusts the authority goes by."""
        context = ssl.create_default_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.authority.configure_trust(context)
        return context


def files_in(folder: Path) -> Files:
    made = Files(trustme.CA(), folder / "tls.crt", folder / "tls.key")
    made.write()
    return made


def serial_of(pem: bytes) -> str:
    return str(x509.load_pem_x509_certificates(pem)[0].serial_number)


class Held:
    """One connection: what it was shown, and requests on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        shown: ssl.SSLObject = writer.get_extra_info("ssl_object")
        der = shown.getpeercert(binary_form=True)
        assert der is not None
        self.serial = str(x509.load_der_x509_certificate(der).serial_number)
        self.version = shown.version()
        self.alpn = shown.selected_alpn_protocol()

    async def status(self, path: str = "/healthz") -> int:
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await self._reader.readexactly(length)
        return int(head.split()[1])


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext) -> AsyncIterator[Held]:
    """Connect as a caller; raises ssl.SSLError where the handshake fails."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    try:
        yield Held(reader, writer)
    finally:
        writer.transport.abort()
