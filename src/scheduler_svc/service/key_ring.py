"""The key ring of this process: from the setting, or in development from a file of its own.

Promises that the development profile needs no key: the first replica that starts makes one,
readable by its account alone, and all that share the data folder read the same. Production without
keys has no ring, and whoever asks for a secret to be kept is refused.
"""

import base64
import os
import secrets
from contextlib import suppress
from pathlib import Path

from scheduler_svc.settings import Settings
from scheduler_svc.store.vault import KEY_BYTES, KeyRing, read_key

FILE = "secret.key"


class KeyFileRefused(Exception):
    """The key file of the data folder can not be made or read; the text says why."""


def key_ring(settings: Settings) -> KeyRing | None:
    """Return the ring; None where there is none. Raise KeyFileRefused."""
    keys = keys_of(settings)
    return KeyRing(keys, os.urandom) if keys else None


def keys_of(settings: Settings) -> tuple[bytes, ...]:
    """Return the keys of the ring, newest first, or none. Raise KeyFileRefused."""
    if settings.secret_keys:
        return tuple(read_key(text) for text in settings.secret_keys)
    if settings.profile != "development":
        return ()
    path = Path(settings.data_dir) / FILE
    try:
        return (_key_of(path),)
    except (OSError, ValueError) as error:
        raise KeyFileRefused(f"the key file {path} can not be used: {error}") from error


def _key_of(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return read_key(path.read_text("ascii").strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link is made once: of several replicas that start together the first one's key counts.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return read_key(path.read_text("ascii").strip())
