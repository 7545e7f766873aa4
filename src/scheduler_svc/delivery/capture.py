"""What is kept of an answer: its headers, and its body as what its type says that it is.

Text of a known charset is kept as text, everything else as base64; what is compressed stays so, for
inflating it is how bombs go off. Where a target names JSON pointers, a body is kept only if it is
complete JSON with those parts masked: what can not be looked into is not kept at all.
"""

import base64
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from scheduler_svc.delivery.exchange import Exchange
from scheduler_svc.delivery.response import KNOWN_HEADERS_MAX, KNOWN_HEADS_MAX
from scheduler_svc.domain.redaction import Redaction, is_secret, mask_parts
from scheduler_svc.domain.secrecy import MASK

TEXTUAL = re.compile(
    r"text/.*|.*\+(json|xml|yaml)"
    r"|application/(json|xml|yaml|x-yaml|javascript|x-www-form-urlencoded|x-ndjson|json-seq)",
    re.DOTALL,
)
CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9._:-]+)', re.ASCII)
CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "iso-8859-1": "latin-1",
    "latin1": "latin-1",
    "latin-1": "latin-1",
    "us-ascii": "ascii",
    "ascii": "ascii",
}
ENCODE = msgspec.json.Encoder().encode
NAME_KNOWN_MAX = 256
KNOWN_BODY_MAX = 256
UNSAID = "utf_8"  # a codec, and a name that no answer gives it
TWO_TYPES = ""  # of two types none counts
CUT = "not kept: the body is not complete, so redact.pointers can not be applied"
COMPRESSED = "not kept: the body is compressed, so redact.pointers can not be applied"
NO_JSON = "not kept: the body is no JSON, so redact.pointers can not be applied"


class Head(NamedTuple):
    """What the headers of an answer come to."""

    kept: str
    """As JSON, with what is secret masked."""
    codec: str | None
    """Of a textual body that is not packed."""
    is_compressed: bool


def response_text(exchange: Exchange, redaction: Redaction) -> str:
    """Write the record of an answer's head and body, with what is secret masked: the JSON of
    `domain.runs.CapturedResponse`.
    """
    headers, body = exchange.headers, exchange.body
    few = len(headers) <= KNOWN_HEADERS_MAX
    whole = exchange.outcome == "ok" and not exchange.truncated
    if whole and few and len(body) <= KNOWN_BODY_MAX:
        return _known(tuple(headers), body, redaction)
    return _written(tuple(headers), exchange, redaction, _head if few else _head.__wrapped__)


@lru_cache(maxsize=KNOWN_HEADS_MAX)
def _known(headers: tuple[tuple[str, str], ...], body: bytes, redaction: Redaction) -> str:
    """Write a short answer once, where equal ones come: many say `ok` and nothing else."""
    return _written(headers, Exchange("ok", body=body), redaction, _head)


def _written(
    headers: tuple[tuple[str, str], ...],
    exchange: Exchange,
    redaction: Redaction,
    head: Callable[[tuple[tuple[str, str], ...], frozenset[str]], Head],
) -> str:
    kept, codec, is_compressed = head(headers, redaction.headers)
    body, encoded, omitted = _body(exchange, redaction, codec, is_compressed=is_compressed)
    return (
        f'{{"headers":{kept},"body":{ENCODE(body).decode()}'
        f',"body_base64":{ENCODE(encoded).decode()}'
        f',"truncated":{"true" if exchange.truncated else "false"}'
        f',"omitted":{ENCODE(omitted).decode()}}}'
    )


@lru_cache(maxsize=KNOWN_HEADS_MAX)
def _head(headers: tuple[tuple[str, str], ...], masked: frozenset[str]) -> Head:
    """Read the headers, once for answers that have the same, as those of one second often do."""
    kept: dict[str, str] = {}
    kind, is_compressed = None, False
    for name, value in headers:
        key = name.lower()
        # A name that nobody gives a header is not to be remembered.
        judge = is_secret if len(key) <= NAME_KNOWN_MAX else is_secret.__wrapped__
        shown = MASK if key in masked or judge(key) else value
        kept[key] = f"{kept[key]}, {shown}" if key in kept else shown
        if key == "content-type":
            kind = value if kind is None else TWO_TYPES
        elif key == "content-encoding" and value.strip().lower() != "identity":
            is_compressed = True
    codec = None if is_compressed else _codec(kind)
    return Head(ENCODE(kept).decode(), codec, is_compressed)


def _body(
    exchange: Exchange, redaction: Redaction, codec: str | None, *, is_compressed: bool
) -> tuple[str | None, str | None, str | None]:
    """Answer the body as text, or as base64, or why it is not kept."""
    if not exchange.body:
        return "", None, None
    if redaction.pointers:
        return _redacted(exchange, redaction, codec or "utf-8", is_compressed=is_compressed)
    text = None if codec is None else _decoded(exchange, codec)
    if text is not None:
        return text, None, None
    return None, base64.b64encode(exchange.body).decode(), None


def _redacted(
    exchange: Exchange, redaction: Redaction, codec: str, *, is_compressed: bool
) -> tuple[str | None, None, str | None]:
    """Mask parts of a complete JSON body, whatever type it says that it has."""
    if exchange.truncated or exchange.outcome != "ok":
        return None, None, CUT
    if is_compressed:
        return None, None, COMPRESSED
    try:
        document = msgspec.json.decode(exchange.body.decode(codec))
        masked = mask_parts(document, redaction.pointers)
        return msgspec.json.encode(masked).decode(), None, None
    except (ValueError, RecursionError):  # msgspec's and the codec's too
        return None, None, NO_JSON


@lru_cache(maxsize=KNOWN_HEADS_MAX)
def _codec(content_type: str | None) -> str | None:
    """Answer the codec of a textual body; None for what is to be kept as bytes.

    Where nothing is said, what reads as text is text.
    """
    if content_type is None:
        return UNSAID
    lowered = content_type.lower()
    if not TEXTUAL.fullmatch(lowered.partition(";")[0].strip()):
        return None
    charset = CHARSET.search(lowered)
    return "utf-8" if charset is None else CODECS.get(charset[1])


def _decoded(exchange: Exchange, codec: str) -> str | None:
    if codec == UNSAID and b"\0" in exchange.body:
        return None
    try:
        return exchange.body.decode(codec)
    except UnicodeDecodeError as fault:
        # A cut in the middle of the last character is the cap's doing, not the body's.
        if exchange.truncated and fault.start >= len(exchange.body) - 3:
            return exchange.body[: fault.start].decode(codec)
        return None
