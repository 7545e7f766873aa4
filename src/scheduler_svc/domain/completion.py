"""Completion by callback: the one-time token of an attempt, and where its target reports.

The token is the attempt's number and a code over run and attempt (HMAC-SHA256, RFC 2104), under a
key that is derived from the key ring. Nothing of it is stored, so every replica can judge it before
the attempt's own answer was read. Pure: keys come as arguments and are never shown.
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Target

LABEL = b"scheduler-svc completion token v1"
PREFIX = "ct"
TIMEOUT_MS = 3_600_000
"""What a target has to report where its job says nothing."""
TIMEOUT_MS_MIN, TIMEOUT_MS_MAX = 1000, 7 * 86_400_000
NUMBER_MAX = 6
"""Digits of an attempt's number: more are no token of ours."""


class Callbacks(Struct, frozen=True, kw_only=True):
    """What callbacks need: where this service is reached, and the key ring, newest first."""

    url: str | None = None
    keys: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        """Show how many keys there are, and none of them."""
        return f"Callbacks(url={self.url!r}, keys={len(self.keys)})"

    @property
    def fault(self) -> str | None:
        """Say what is missing, with the fix; None where callbacks work."""
        if not self.keys:
            return "needs a key for its tokens: set SCHEDULER_SECRET_KEYS"
        if self.url is None:
            return "needs an address to report to: set SCHEDULER_PUBLIC_URL"
        return None


class Report(Struct, frozen=True):
    """Where and with which token the target of one attempt reports."""

    url: str
    token: str


def report_to(callbacks: Callbacks, run_id: UUID, attempt: int) -> Report | None:
    """Return what one attempt's target is told; None where callbacks can not work here."""
    if callbacks.url is None or not callbacks.keys:
        return None
    url = f"{callbacks.url.rstrip('/')}/runs/{run_id}/complete"
    return Report(url, token(callbacks.keys[0], run_id, attempt))


def token(key: bytes, run_id: UUID, attempt: int) -> str:
    """Make the token of one attempt under one key of the ring."""
    own = hmac.digest(key, LABEL, "sha256")
    code = hmac.new(own, run_id.bytes + attempt.to_bytes(4, "big"), sha256).digest()
    return f"{PREFIX}_{attempt}_{urlsafe_b64encode(code).rstrip(b'=').decode()}"


def attempt_of(keys: tuple[bytes, ...], run_id: UUID, given: str) -> int | None:
    """Return the attempt that a token of this run is of; None where it is not ours."""
    prefix, _, rest = given.partition("_")
    number, _, code = rest.partition("_")
    if prefix != PREFIX or not (number.isascii() and number.isdigit()) or not code:
        return None
    if len(number) > NUMBER_MAX:
        return None
    wanted = [token(key, run_id, int(number)) for key in keys]
    # Each is compared, so that the time taken says nothing about which key it was.
    matches = [hmac.compare_digest(one.encode(), given.encode()) for one in wanted]
    return int(number) if any(matches) else None


def timeout_ms(target: Target) -> int:
    """Return how long a target has to report, in milliseconds."""
    given = target.completion_timeout
    return TIMEOUT_MS if given is None else milliseconds(given)
