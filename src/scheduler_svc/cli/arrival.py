"""A request that arrived, as the receiver shows it: for people in lines, for programs as JSON."""

import base64
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

SHOWN = ("scheduler-", "webhook-", "ce-")
SHOWN_NAMES = frozenset(
    {"content-type", "idempotency-key", "traceparent", "user-agent", "authorization"}
)
BODY_SHOWN_MAX = 4096


class Arrival(NamedTuple):
    """One request; header names are lower case, in the order of arrival."""

    at: datetime
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    answered: str


def now() -> datetime:
    return datetime.now(UTC)


def as_text(arrival: Arrival) -> str:
    """Write a line for the request, one for each header of ours or of interest, and the body."""
    head = f"{arrival.at:%H:%M:%S.%f}"[:-3]
    lines = [f"{head}  {arrival.method} {arrival.path}  -> {arrival.answered}"]
    lines += [f"    {name}: {value}" for name, value in arrival.headers if _is_shown(name)]
    if arrival.body:
        lines.append(f"    {_body_text(arrival.body)}")
    return "\n".join(lines)


def as_json(arrival: Arrival) -> str:
    """Write everything as one line; a body that is no text comes as base64."""
    fields: dict[str, Any] = {
        "at": arrival.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": arrival.method,
        "path": arrival.path,
        "headers": dict(arrival.headers),
        "answered": arrival.answered,
    }
    try:
        fields["body"] = arrival.body.decode()
    except UnicodeDecodeError:
        fields["body_base64"] = base64.b64encode(arrival.body).decode()
    return msgspec.json.encode(fields).decode()


def _is_shown(name: str) -> bool:
    return name.startswith(SHOWN) or name in SHOWN_NAMES


def _body_text(body: bytes) -> str:
    """Show the beginning as text that cannot drive the terminal, and say what is left out."""
    shown = body[:BODY_SHOWN_MAX].decode(errors="replace")
    safe = "".join(
        one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in shown
    )
    rest = len(body) - BODY_SHOWN_MAX
    return safe if rest <= 0 else f"{safe} ... and {rest} bytes"
