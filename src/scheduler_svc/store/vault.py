"""Secrets at rest: a ring of keys, and values sealed with the newest of them (AES-256-GCM).

A sealed value is text: `sealed:v1:<key id>:<nonce and ciphertext in base64url>`. It opens only in
the place that it was sealed for. Promises never to show a key or a value in a text of its own.
"""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
ID_CHARACTERS = 8
PREFIX = "sealed:v1:"
SEALED = re.compile(r"sealed:v1:(?P<key>[0-9a-f]{8}):(?P<text>[A-Za-z0-9_-]{38,})")


class Unopenable(Exception):
    """A sealed value that can not be opened here; the text is for operators and shows no value."""


class KeyMissing(Unopenable):
    """The key is not, or no longer, in the ring."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"a secret is sealed with the key {key_id}, which is not in the key ring")
        self.key_id = key_id


class Damaged(Unopenable):
    """The value was changed, or stands where it was not sealed for."""

    def __init__(self) -> None:
        super().__init__("a sealed secret is damaged, or was moved from where it belongs")


class KeyRing:
    """Keys of 32 bytes, newest first: the first seals, all of them open."""

    def __init__(self, keys: Sequence[bytes], random_bytes: Callable[[int], bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs a key")
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self.newest = key_id(keys[0])
        self._random_bytes = random_bytes

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._ciphers)})"

    def seal(self, value: str | bytes, place: str) -> str:
        """Seal a value for the place where it will stand."""
        plain = value.encode() if isinstance(value, str) else value
        nonce = self._random_bytes(NONCE_BYTES)
        secret = nonce + self._ciphers[self.newest].encrypt(nonce, plain, place.encode())
        text = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        return f"{PREFIX}{self.newest}:{text}"

    def open(self, sealed: str, place: str) -> bytes:
        """Open a sealed value; raise Unopenable."""
        found = SEALED.fullmatch(sealed)
        if found is None:
            raise Damaged
        cipher = self._ciphers.get(found["key"])
        if cipher is None:
            raise KeyMissing(found["key"])
        secret = base64.urlsafe_b64decode(found["text"] + "=" * (-len(found["text"]) % 4))
        try:
            return cipher.decrypt(secret[:NONCE_BYTES], secret[NONCE_BYTES:], place.encode())
        except InvalidTag:
            raise Damaged from None

    def is_newest(self, sealed: str) -> bool:
        """Tell whether a value is sealed with the newest key."""
        return sealed.startswith(f"{PREFIX}{self.newest}:")


def open_text(ring: KeyRing | None, value: str, place: str) -> str:
    """Open a value that may also stand as it is: what older versions stored was not sealed.

    Raise Unopenable.
    """
    if not is_sealed(value):
        return value
    if ring is None:
        raise KeyMissing(key_of(value))
    return ring.open(value, place).decode()


def is_sealed(value: str) -> bool:
    """Tell whether a stored text is a sealed value."""
    return value.startswith(PREFIX)


def key_of(sealed: str) -> str:
    """Return the id of the key that a value was sealed with."""
    return sealed.removeprefix(PREFIX).partition(":")[0]


def plain_length(value: str) -> int:
    """Return how many bytes a stored value holds, without opening it."""
    if not is_sealed(value):
        return len(value.encode())
    characters = len(value.rpartition(":")[2])
    return characters * 3 // 4 - NONCE_BYTES - TAG_BYTES


def key_id(key: bytes) -> str:
    """Name a key by what does not give it away."""
    return sha256(b"scheduler-svc key id\0" + key).hexdigest()[:ID_CHARACTERS]


def read_key(text: str) -> bytes:
    """Read one key of the setting; raise ValueError, whose text does not show it."""
    padded = text.rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        key = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"has {len(key)} bytes, not {KEY_BYTES}")
    return key
