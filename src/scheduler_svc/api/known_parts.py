"""What has been judged already: parts of definitions that many jobs have in common.

Promises to vouch only for what `judge` would find good, and to answer its normal form. Whatever
depends on the time or the job's id, holds a template or a secret, or is seldom, it does not know.
One of it is for one set of rules: what a namespace may call, and how much.
"""

import re

import msgspec
from msgspec import UNSET, Struct, structs

from scheduler_svc.api.check_target import BODY_MAX
from scheduler_svc.domain.ids import HEX_DIGITS
from scheduler_svc.domain.jobs import Alerts, Definition, Misfire, Retry, Target
from scheduler_svc.domain.secrecy import is_secret_header

_ENCODER = msgspec.json.Encoder()
# An address that differs from another of its origin in nothing that is judged.
_URL = re.compile(r"(https?://[a-z0-9.-]{1,253}(?::[0-9]{1,5})?)/[/?:!$&'()*+,;=._~0-9A-Za-z-]*")
# Neither a template nor a mask, and so short that fifty of them are not too long together.
_VALUE = re.compile(r"[\t\x20-\x29\x2b-\x7a\x7c-\x7e]{0,200}")
_NAMES_LENGTH_MAX = 4096
KEPT_MAX = 2000
"""Of each kind, so that jobs that have nothing in common cost no memory."""


class _Rest(Struct, frozen=True):
    """The normal form of the small parts of a definition, and whether it is what was given."""

    retry: Retry
    misfire: Misfire
    alerts: Alerts
    timeout: str
    as_given: bool


class KnownParts:
    """The parts that were good so far."""

    def __init__(self, *, body_max: int | None = None, kept_max: int = KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._body_max = BODY_MAX if body_max is None else min(body_max, BODY_MAX)
        self._origins: set[str] = set()
        self._headers: set[tuple[str, ...]] = set()
        self._rests: dict[bytes, _Rest] = {}

    def normal(self, given: Definition) -> Definition | None:
        """Return the normal form, the schedule aside, of what is surely good; else None."""
        rest = self._rests.get(_rest_key(given))
        if rest is None or not self._is_good(given.target):
            return None
        if given.name is not None and len(given.name) >= HEX_DIGITS:
            return None  # it may look like an id
        if given.retention is not UNSET:
            return None
        if rest.as_given:
            return given
        return structs.replace(
            given,
            target=structs.replace(given.target, timeout=rest.timeout),
            retry=rest.retry,
            misfire=rest.misfire,
            alerts=rest.alerts,
        )

    def learn(self, given: Definition, good: Definition) -> None:
        """Remember the parts of a definition that was judged good, and its normal form."""
        if not _is_common(given.target):
            return
        found = _URL.fullmatch(given.target.url)
        if found is not None:
            self._make_room(self._origins)
            self._origins.add(found[1])
        names = tuple(given.target.headers)
        if _are_plain(names):
            self._make_room(self._headers)
            self._headers.add(names)
        self._make_room(self._rests)
        parts = (good.retry, good.misfire, good.alerts, good.target.timeout)
        as_given = parts == (given.retry, given.misfire, given.alerts, given.target.timeout)
        self._rests[_rest_key(given)] = _Rest(*parts, as_given)

    def _make_room(self, kept: dict[bytes, _Rest] | set[str] | set[tuple[str, ...]]) -> None:
        """Begin anew where there is no room: what is common comes again soon."""
        if len(kept) >= self._kept_max:
            kept.clear()

    def _is_good(self, target: Target) -> bool:
        if not _is_common(target) or tuple(target.headers) not in self._headers:
            return False
        for value in target.headers.values():
            if not _VALUE.fullmatch(value):
                return False
        found = _URL.fullmatch(target.url)
        if found is None or found[1] not in self._origins:
            return False
        body = bytes(target.body)  # a brace written as an escape does not come here
        return len(body) <= self._body_max and b"{{" not in body


def _is_common(target: Target) -> bool:
    """Tell whether a target has none of what is judged together with something else."""
    return (
        target.auth is None
        and target.tls is None
        and target.body_base64 is UNSET
        and target.format == "plain"
        and target.completion == "response"
        and target.completion_timeout is None
    )


def _are_plain(names: tuple[str, ...]) -> bool:
    return sum(map(len, names)) <= _NAMES_LENGTH_MAX and not any(map(is_secret_header, names))


def _rest_key(given: Definition) -> bytes:
    target = given.target
    return _ENCODER.encode(
        (
            given.retry,
            given.misfire,
            given.alerts,
            target.timeout,
            target.success_status,
            target.concurrency_key,
            target.redact,
        )
    )
