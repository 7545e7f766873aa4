"""A run as a CloudEvents 1.0 event in HTTP binary mode: attributes are headers, data is the body.

`ce-type`, `ce-source`, `ce-subject` and extension attributes may be given as headers of the job.
"""

from collections.abc import Container
from uuid import UUID

import msgspec

SPEC_VERSION = b"1.0"
TYPE = b"scheduler-svc.run"
OWN = frozenset({"ce-id", "ce-specversion", "ce-time"})
"""Attributes that are each run's own, so that no job may set them."""


class Event(msgspec.Struct, frozen=True):
    """What the events of a job have in common."""

    source: bytes
    subject: bytes


def event_of(job_id: UUID, name: str | None, public_url: str | None) -> Event:
    """Return the attributes of a job: its source is its address, relative where we have none."""
    base = "" if public_url is None else public_url.rstrip("/")
    return Event(f"{base}/jobs/{job_id}".encode(), (name or str(job_id)).encode())


def lines(
    event: Event, *, run_id: bytes, time: bytes, given: Container[str]
) -> list[tuple[bytes, bytes]]:
    """Return the headers of one event; `given` are headers that the job set itself."""
    own = [(b"ce-specversion", SPEC_VERSION), (b"ce-id", run_id), (b"ce-time", time)]
    defaults = {
        "ce-type": (b"ce-type", TYPE),
        "ce-source": (b"ce-source", event.source),
        "ce-subject": (b"ce-subject", event.subject),
    }
    return own + [line for name, line in defaults.items() if name not in given]
