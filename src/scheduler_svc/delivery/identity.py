"""Identity tokens: who is calling, as a JWT (RFC 7519) that a target checks with our public key.

Promises RS256, which every verifier of OpenID Connect knows; a short life; one signature for many
attempts. Keeps tokens in bounded memory and no key but the one it is given.
"""

import base64
import json
from hashlib import sha256
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import RSAAlgorithm

ALGORITHM = "RS256"
KEY_BITS = 2048
LIFE_SECONDS = 600
RENEWED_SECONDS = 300
"""A token with less than this left is made anew, so an attempt never carries an old one."""
PUBLISHED_SECONDS = 3600
"""How long the public half of a retired key is shown: well beyond the life of its last token."""
KEPT_MAX = 10_000


class Subject(msgspec.Struct, frozen=True):
    """On whose behalf a call is made, and to whom."""

    audience: str
    namespace: str
    job_id: str
    job_name: str | None


class NewKey(msgspec.Struct, frozen=True):
    """A key that was just made: its `kid`, its private half as DER, its public half as a JWK."""

    id: str
    private: bytes
    public: str


class Issuer:
    """Makes tokens under one key and keeps them until they are near their end."""

    def __init__(self, url: str, key_id: str, private: bytes) -> None:
        key = load_der_private_key(private, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise TypeError("an identity key is an RSA key")
        self.key_id = key_id
        self._url = url
        self._key = key
        self._made: dict[Subject, tuple[float, str]] = {}

    def token(self, subject: Subject, now: float) -> str:
        """Return a token with some minutes left; `now` is in seconds since 1970."""
        kept = self._made.get(subject)
        if kept is not None and now < kept[0] - RENEWED_SECONDS:
            return kept[1]
        if len(self._made) >= KEPT_MAX:
            self._made.clear()
        ends = int(now) + LIFE_SECONDS
        made = jwt.encode(
            self._claims(subject, int(now), ends),
            self._key,
            algorithm=ALGORITHM,
            headers={"kid": self.key_id},
        )
        self._made[subject] = (float(ends), made)
        return made

    def _claims(self, subject: Subject, now: int, ends: int) -> dict[str, Any]:
        return {
            "iss": self._url,
            "aud": subject.audience,
            "sub": f"job:{subject.job_id}",
            "iat": now,
            "exp": ends,
            "namespace": subject.namespace,
            "job_id": subject.job_id,
            "job_name": subject.job_name,
        }


def issuer_url(public_url: str) -> str:
    """Return the issuer's name, by which verifiers find its keys."""
    return public_url.rstrip("/")


def new_key() -> NewKey:
    """Make a key; takes some tenths of a second of one processor."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    shown = {name: public[name] for name in ("e", "kty", "n")}
    # RFC 7638: the digest of the members that define the key, in the order of their names.
    digest = sha256(json.dumps(shown, separators=(",", ":"), sort_keys=True).encode()).digest()
    key_id = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return NewKey(
        key_id,
        private,
        json.dumps({**shown, "kid": key_id, "use": "sig", "alg": ALGORITHM}),
    )
