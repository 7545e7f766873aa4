"""Which headers a job or a trigger may set: names that are tokens, values that stay on one line.

Headers that the service sets itself, or that belong to one connection, are refused.
"""

import re
from collections.abc import Iterator, Mapping

from scheduler_svc.domain.errors import Fault

COUNT_MAX = 50
BYTES_MAX = 16 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: token
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_RESERVED = frozenset(
    {
        # RFC 9110, 7.6.1: of one connection only.
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # Ours to say.
        "host",
        "content-length",
        # Nothing is ever decompressed, so nothing compressed is asked for.
        "accept-encoding",
        "expect",
        "traceparent",
        "idempotency-key",
    }
)
_RESERVED_PREFIXES = ("proxy-", "webhook-", "scheduler-")


def header_faults(headers: Mapping[str, str], pointer: str) -> Iterator[Fault]:
    """Name every fault of a set of headers found at a pointer."""
    seen: dict[str, str] = {}
    for name, value in headers.items():
        at = f"{pointer}/{_escaped(name)}"
        reason = _name_fault(name) or _value_fault(value)
        twin = seen.setdefault(name.lower(), name)
        if reason is None and twin != name:
            reason = f"is the same header as '{twin}'; names do not differ by case"
        if reason is not None:
            yield Fault(at, reason)
    yield from size_faults(headers, pointer)


def size_faults(headers: Mapping[str, str], pointer: str) -> Iterator[Fault]:
    """Judge how many headers there are, and how long all of them."""
    if len(headers) > COUNT_MAX:
        yield Fault(pointer, f"holds {len(headers)} headers; at most {COUNT_MAX}")
    total = sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
    if total > BYTES_MAX:
        yield Fault(pointer, f"takes {total} bytes; at most {BYTES_MAX} for all headers")


def is_header_name(name: str) -> bool:
    """Tell whether a text is a token, as header names are."""
    return _NAME.fullmatch(name) is not None


def _name_fault(name: str) -> str | None:
    if not is_header_name(name):
        return "is no header name: letters, digits and !#$%&'*+-.^_`|~ only"
    lowered = name.lower()
    if lowered in _RESERVED or lowered.startswith(_RESERVED_PREFIXES):
        return "is set by the service or belongs to the connection; remove it"
    return None


def _value_fault(value: str) -> str | None:
    if not _VALUE.fullmatch(value):
        return "has a control or non-ASCII character in its value"
    return None


def _escaped(name: str) -> str:
    """Write a member name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
