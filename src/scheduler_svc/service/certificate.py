"""The certificate of our own port: judged before it counts, replaced while connections live on.

Promises that the context of the port only ever holds a certificate with its key, both valid when
they were taken: new files that are not leave the old ones in place, with the reason. What was
judged is what is loaded, whatever happens to the files meanwhile. Handshakes after a change get the
new certificate; a connection keeps the one it was made with.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from scheduler_svc.domain import certificates
from scheduler_svc.settings import Settings
from scheduler_svc.settings.names import variable

FILE_MAX = 1024 * 1024
WARN_DAYS = 14.0
WARN_SHARE = 1 / 3
"""The warning comes with so little of the lifetime left, for some live a week in all."""
DAY_SECONDS = 86_400
CERT, KEY, CLIENT_CA = (variable(name) for name in ("tls_cert", "tls_key", "tls_client_ca"))


class CertificateRefused(Exception):
    """The files can not be used; the text has all reasons, each with its setting."""


class Pair(NamedTuple):
    """A chain and its key as they were read, and the time in which the leaf is valid."""

    chain: bytes
    key: bytes
    begins: datetime
    ends: datetime


class Certificate:
    """What the port shows: the context lives as long as the process, what it holds changes."""

    def __init__(self, settings: Settings) -> None:
        self._files = Path(settings.tls_cert or ""), Path(settings.tls_key or "")
        self._seen = self._signature()
        pair = self.read()
        self.context = _context(settings.tls_client_ca)
        self.ends = pair.ends
        self._lifetime = pair.ends - pair.begins
        self.take(pair)

    def read(self) -> Pair:
        """Read the files and judge them; raise CertificateRefused."""
        faults: list[str] = []
        chain, key = (
            _read(name, path, faults) for name, path in zip((CERT, KEY), self._files, strict=True)
        )
        pair = None if faults else _judged(chain, key, faults)
        if pair is None or faults:
            raise CertificateRefused("; ".join(faults))
        try:
            _load(_context(None), pair)
        except ssl.SSLError as error:
            raise CertificateRefused(f"{CERT}: OpenSSL refuses it: {error.reason}") from error
        return pair

    def take(self, pair: Pair) -> None:
        """Show this pair from now on; `read` has tried that it can be loaded."""
        _load(self.context, pair)
        self.ends, self._lifetime = pair.ends, pair.ends - pair.begins

    def has_moved(self) -> bool:
        """Tell whether the files are others than at the last look: by time, size and inode."""
        before, self._seen = self._seen, self._signature()
        return self._seen != before

    @property
    def expires_at(self) -> str:
        return f"{self.ends:%Y-%m-%dT%H:%M:%SZ}"

    def ends_at(self) -> float:
        """Return when it ends, in Unix time."""
        return self.ends.timestamp()

    def seconds_left(self) -> float:
        return (self.ends - datetime.now(UTC)).total_seconds()

    def is_expiring(self) -> bool:
        """Tell whether it is time to worry."""
        worry = min(WARN_DAYS * DAY_SECONDS, self._lifetime.total_seconds() * WARN_SHARE)
        return self.seconds_left() < worry

    def _signature(self) -> tuple[object, ...]:
        return tuple(_looks(path) for path in self._files)


def certificate_of(settings: Settings) -> Certificate | None:
    """Load what the settings name; None where the port speaks plain HTTP."""
    return None if settings.tls_cert is None else Certificate(settings)


def _looks(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file; links are followed, as Kubernetes swaps them."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(name: str, path: Path, faults: list[str]) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(FILE_MAX + 1)
    except OSError as error:
        faults.append(f"{name}: can not be read: {error.strerror} ({path})")
        return b""
    if len(found) > FILE_MAX:
        faults.append(f"{name}: is longer than 1 MiB ({path})")
    return found


def _judged(chain: bytes, key: bytes, faults: list[str]) -> Pair | None:
    """Find every fault of the two, and of their being together."""
    found = secret = None
    if certificates.PRIVATE.encode() in chain:
        faults.append(f"{CERT}: holds a private key; give the chain alone, and the key apart")
        return None
    try:
        found = certificates.read_certificates(chain.decode("ascii", "replace"))
    except ValueError as error:
        faults.append(f"{CERT}: {error}")
    try:
        secret = certificates.read_key(key.decode("ascii", "replace"))
    except ValueError as error:
        faults.append(f"{KEY}: {error}")
    if not found:
        return None
    leaf, now = found[0], datetime.now(UTC)
    faults.extend(f"{CERT}: {fault}" for fault in certificates.validity_faults(found, now))
    if leaf.not_valid_before_utc > now:
        faults.append(f"{CERT}: is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC")
    if (weak := certificates.strength_fault(leaf)) is not None:
        faults.append(f"{CERT}: {weak}")
    if secret is not None and not certificates.fits(leaf, secret):
        faults.append(f"{KEY}: is not the key of the first certificate in {CERT}")
    ends = min(one.not_valid_after_utc for one in found)
    return Pair(chain, key, leaf.not_valid_before_utc, ends)


def _context(client_ca: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror or "it holds no certificates in PEM form"
            raise CertificateRefused(f"{CLIENT_CA}: can not be read: {why}") from error
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    with ExitStack() as stack:
        chain, key = (stack.enter_context(_lent(pem)) for pem in (pair.chain, pair.key))
        # Without a passphrase given OpenSSL would ask the terminal.
        context.load_cert_chain(chain, key, password="")


@contextmanager
def _lent(pem: bytes) -> Iterator[str]:
    """Lend bytes under a path, for OpenSSL's loader reads files alone; on Linux in memory."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(pem)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.NamedTemporaryFile() as file:  # readable by its owner alone
        file.write(pem)
        file.flush()
        yield file.name
