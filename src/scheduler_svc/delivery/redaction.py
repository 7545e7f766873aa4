"""What a target gives back of the secrets that it was sent never reaches the record.

Promises to find a secret as it was sent and as it is usually quoted: in JSON, in HTML, in a URL,
and cut off by the cap. It can not see through compression or a coding that a target invents.
"""

import base64
import binascii
import html
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus

import msgspec

from scheduler_svc.delivery.exchange import Exchange

MASK = b"***"
LENGTH_MIN = 6
"""Shorter values would mask innocent text."""
CUT_MIN = 3
"""Nobody misses fewer bytes of the end of a body, or guesses a secret from them."""


def needles(values: Iterable[str]) -> tuple[bytes, ...]:
    """Return every spelling in which these secrets are looked for, the longest first."""
    spelled = {form.encode() for value in values for form in _forms(value)}
    return tuple(
        sorted(
            (form for form in spelled if len(form) >= LENGTH_MIN), key=lambda one: (-len(one), one)
        )
    )


def credentials(value: str) -> Iterator[str]:
    """Yield a secret header's value and the secrets within: what follows a scheme, cookies."""
    yield value
    scheme, space, rest = value.partition(" ")
    if space and scheme.isalpha():
        yield rest.strip()
        if scheme.lower() == "basic":
            yield from _password(rest)
    for part in value.split(";"):
        _, equals, inner = part.partition("=")
        if equals and ";" in value:
            yield inner.strip()


def redacted(exchange: Exchange, masked: Sequence[bytes]) -> Exchange:
    """Return an exchange in which none of these stands."""
    if not masked:
        return exchange
    body = _masked(exchange.body, masked)
    return msgspec.structs.replace(
        exchange,
        headers=[
            (name, _masked(value.encode("latin-1", "replace"), masked).decode("latin-1"))
            for name, value in exchange.headers
        ],
        body=_without_tail(body, masked) if exchange.truncated else body,
        error=None
        if exchange.error is None
        else _masked(exchange.error.encode(), masked).decode(errors="replace"),
    )


def _masked(text: bytes, masked: Sequence[bytes]) -> bytes:
    for one in masked:
        if one in text:
            text = text.replace(one, MASK)
    return text


def _without_tail(body: bytes, masked: Sequence[bytes]) -> bytes:
    """Mask the beginning of a secret that the cap cut off."""
    longest = max((_begun(body, one) for one in masked), default=0)
    return body[:-longest] + MASK if longest else body


def _begun(body: bytes, secret: bytes) -> int:
    """Return how much of a secret's beginning, but not all of it, stands at the end of a body."""
    tail = body[1 - len(secret) :]
    at = tail.find(secret[:CUT_MIN])
    while at >= 0 and not secret.startswith(tail[at:]):
        at = tail.find(secret[:CUT_MIN], at + 1)
    return 0 if at < 0 else len(tail) - at


def _forms(value: str) -> Iterator[str]:
    yield value
    yield msgspec.json.encode(value)[1:-1].decode()
    yield quote(value, safe="")
    yield quote_plus(value)
    yield html.escape(value)
    yield base64.b64encode(value.encode()).decode().rstrip("=")


def _password(encoded: str) -> Iterator[str]:
    try:
        yield base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return
