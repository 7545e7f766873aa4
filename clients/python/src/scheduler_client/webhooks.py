"""Is this request from our scheduler? Signatures by Standard Webhooks, over the body as it came.

A signature covers the id, the timestamp and the body. The other headers are not covered: `Delivery`
shows them, and nothing that guards anything may rest on them. Replays within the tolerance are for
`dedupe`.
"""

import hmac
import json
import re
import time
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

TOLERANCE_SECONDS = 300.0
SECRET_PREFIX, PUBLIC_PREFIX = "whsec_", "whpk_"
KEY_BYTES_MIN, PUBLIC_BYTES = 16, 32
SIGNATURES_MAX = 32
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class NotVerified(Exception):
    """The request is not to be believed: answer 401, and do nothing. The text is for your log."""


class Headers(Protocol):
    """The headers of any framework: a mapping, or what has its pairs."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Return names and values."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A request that was verified. `id` is the run's, the same in all its attempts.

    `sent_at` and `body` are signed too; all that has a default is not.
    """

    id: str
    sent_at: datetime
    body: bytes = field(repr=False)
    attempt: int | None = None
    trigger: str | None = None
    scheduled_for: datetime | None = None
    job_id: str | None = None
    job_name: str | None = None
    completion_token: str | None = field(default=None, repr=False)

    def json(self) -> Any:
        """Decode the body; raise ValueError where it is not JSON."""
        return json.loads(self.body)


def verify(
    body: bytes,
    headers: Headers,
    secrets: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> Delivery:
    """Return what was sent; raise NotVerified where nobody who knows a secret sent it just now.

    `body` is the raw body, `headers` those of any framework, `secrets` one `whsec_...` or several
    (`whpk_...` for Ed25519, with the extra `ed25519`); ValueError where one of them is none.
    """
    checks = [_check(one) for one in ([secrets] if isinstance(secrets, str) else secrets)]
    if not checks:
        raise ValueError("there is no secret to verify with")
    found = _headers(headers)
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not found.get(name)]
    if missing:
        raise NotVerified(f"there is no {', '.join(missing)}")
    if not found[ID].isascii():
        raise NotVerified(f"{ID} is no id")
    sent = _timely(found[TIMESTAMP], time.time() if now is None else now, tolerance)
    signed = b".".join((found[ID].encode(), found[TIMESTAMP].encode(), body))
    given = found[SIGNATURE].split(" ")
    if len(given) > SIGNATURES_MAX:
        raise NotVerified(f"there are {len(given)} signatures")
    # All are looked at, so that the time it takes does not tell which one is right.
    right = [check(signed, one) for check in checks for one in given]
    if not any(right):
        raise NotVerified("no signature is of a secret that is known here")
    return _delivery(found, sent, body)


class _Hmac:
    """`v1`: HMAC-SHA256 under a shared secret."""

    def __init__(self, secret: str) -> None:
        self._key = _decoded(secret, SECRET_PREFIX)
        if len(self._key) < KEY_BYTES_MIN:
            raise ValueError(f"a secret has {KEY_BYTES_MIN} bytes or more")

    def __call__(self, signed: bytes, given: str) -> bool:
        version, _, value = given.partition(",")
        made = hmac.new(self._key, signed, sha256).digest()
        return version == "v1" and hmac.compare_digest(made, _lenient(value))


class _Ed25519:
    """`v1a`: Ed25519 under a public key."""

    def __init__(self, public: str) -> None:
        try:
            from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
            from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
                Ed25519PublicKey,
            )
        except ImportError:
            raise ValueError("v1a needs scheduler-svc-client[ed25519]") from None
        raw = _decoded(public, PUBLIC_PREFIX)
        if len(raw) != PUBLIC_BYTES:
            raise ValueError(f"a public key has {PUBLIC_BYTES} bytes")
        self._key, self._wrong = Ed25519PublicKey.from_public_bytes(raw), InvalidSignature

    def __call__(self, signed: bytes, given: str) -> bool:
        version, _, value = given.partition(",")
        if version != "v1a":
            return False
        try:
            self._key.verify(_lenient(value), signed)
        except self._wrong:
            return False
        return True


def _check(secret: str) -> _Hmac | _Ed25519:
    return _Ed25519(secret) if secret.startswith(PUBLIC_PREFIX) else _Hmac(secret)


def _decoded(text: str, prefix: str) -> bytes:
    try:
        return b64decode(text.removeprefix(prefix), validate=True)
    except ValueError:
        raise ValueError(f"a secret is {prefix}, followed by base64") from None


def _lenient(text: str) -> bytes:
    """Decode a signature; what is no base64 is no signature of anything."""
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _headers(headers: Headers) -> dict[str, str]:
    """Return the headers by name in small letters; one of ours that is there twice is ambiguous."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower in {ID, TIMESTAMP, SIGNATURE} and lower in found:
            raise NotVerified(f"there is more than one {lower}")
        found[lower] = value
    return found


def _timely(text: str, now: float, tolerance: float) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise NotVerified(f"{TIMESTAMP} is no time")
    apart = now - int(text)
    if abs(apart) > tolerance:
        raise NotVerified(f"{TIMESTAMP} is {abs(apart):.0f} s {'ago' if apart > 0 else 'ahead'}")
    return datetime.fromtimestamp(int(text), UTC)


def _delivery(found: Mapping[str, str], sent: datetime, body: bytes) -> Delivery:
    attempt = found.get("scheduler-attempt", "")
    return Delivery(
        id=found[ID],
        sent_at=sent,
        body=body,
        attempt=int(attempt) if attempt.isascii() and attempt.isdigit() else None,
        trigger=found.get("scheduler-trigger"),
        scheduled_for=_instant(found.get("scheduler-scheduled-for")),
        job_id=found.get("scheduler-job"),
        job_name=found.get("scheduler-job-name"),
        completion_token=found.get("scheduler-completion-token"),
    )


def _instant(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
