"""The public keys of an issuer (RFC 7517): read from a file or an address, and read anew.

Promises that a key which the issuer rotates in is taken without a restart, that unknown key ids
cause one reading a minute at most, and that known keys go on for an hour where reading fails.
What is no key for signatures of the one algorithm that is configured is not in the set.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic
from typing import Any, Final

import jwt
import msgspec

FRESH_SECONDS: Final = 300.0
UNKNOWN_SECONDS: Final = 60.0
FAILED_SECONDS: Final = 10.0
KEPT_SECONDS: Final = 3600.0
KEYS_MAX: Final = 100
BYTES_MAX: Final = 256 * 1024
RSA_BITS_MIN: Final = 2048
_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "EdDSA": "Ed25519"}

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})

Read = Callable[[], Awaitable[bytes]]


class KeysAway(Exception):
    """There are no keys to judge by: the issuer's could not be read, for too long."""


class Keyset:
    """The keys of one issuer for one algorithm."""

    def __init__(
        self, read: Read, algorithm: str, *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._read = read
        self._algorithm = algorithm
        self._clock = clock
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._asked_at = float("-inf")
        self._failed = False
        self._reading = asyncio.Lock()

    async def key(self, kid: str | None) -> jwt.PyJWK | None:
        """Return the key of that id; None where the issuer has none. Raises KeysAway."""
        if self._clock() - self._read_at > FRESH_SECONDS:
            await self._renew(FAILED_SECONDS if self._failed else 0.0)
        elif self._find(kid) is None:
            await self._renew(UNKNOWN_SECONDS)
        if self._clock() - self._read_at > KEPT_SECONDS:
            raise KeysAway
        return self._find(kid)

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        """A token without a key id is judged by the only key there is, if it is the only one."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if kid is not None else None

    async def _renew(self, pause_seconds: float) -> None:
        """Read the keys, unless that was tried a short while ago or is being done."""
        if self._keys and self._reading.locked():
            return
        async with self._reading:
            if self._clock() - self._asked_at < pause_seconds:
                return
            self._asked_at = self._clock()
            try:
                self._keys = keys_of(await self._read(), self._algorithm)
                self._read_at, self._failed = self._clock(), False
            except (OSError, ValueError, TimeoutError):
                self._failed = True


def keys_of(raw: bytes, algorithm: str) -> dict[str | None, jwt.PyJWK]:
    """Take the usable keys out of a JWK set; raise ValueError where it is none.

    An id that is there twice names neither: nobody can tell which was meant.
    """
    if len(raw) > BYTES_MAX:
        raise ValueError("the key set is too long")
    try:
        listed = msgspec.json.decode(raw)["keys"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        raise ValueError("no JWK set") from None
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ValueError("no JWK set, or one with too many keys")
    usable = list(_usable(listed, algorithm))
    count = Counter(kid for kid, _ in usable)
    return {kid: key for kid, key in usable if count[kid] == 1}


def _usable(listed: list[Any], algorithm: str) -> Iterator[tuple[str | None, jwt.PyJWK]]:
    for one in listed:
        if not isinstance(one, dict) or one.get("kty") != _KINDS[algorithm[:2]]:
            continue
        if one.get("use", "sig") != "sig" or one.get("alg", algorithm) != algorithm:
            continue
        kid = one.get("kid")
        if not (kid is None or isinstance(kid, str)) or one.get("crv") != _CURVES.get(algorithm):
            continue
        try:
            key = jwt.PyJWK({name: one[name] for name in one if name not in _PRIVATE}, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # a key that is broken
        if getattr(key.key, "key_size", RSA_BITS_MIN) >= RSA_BITS_MIN or one["kty"] != "RSA":
            yield kid, key
