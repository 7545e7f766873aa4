"""Why a run waited because of its key or its namespace, as the ledger has it and as a sentence."""

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.words import at_text, counted

Reason = Literal["breaker", "concurrency", "rate", "host_share", "namespace_share", "quota"]

WHY: Final[dict[Reason, str]] = {
    "breaker": "calls to the key '{}' failed, and its breaker was open",
    "concurrency": "the key '{}' had all the calls at once that its limit allows",
    "rate": "the key '{}' had all the calls a second that its limit allows",
    "host_share": "the key '{}' held its share of a replica's slots with calls that did not end",
    "namespace_share": "its namespace held its share of a replica's slots",
    "quota": "its namespace had all the runs a minute that its quota allows",
}
COUNTED: Final[frozenset[Reason]] = frozenset({"breaker", "host_share", "namespace_share"})
"""What sets a run aside at once; the others let it stand in line first."""


class Deferral(Struct, frozen=True, kw_only=True):
    """Why a run waited, or waits: `until` is when it was let go, null while it waits.

    `count` is how often it was set aside; 0 is a run that stands in line and is not late yet.
    """

    reason: Reason
    key: str | None
    count: int
    since: datetime
    until: datetime | None = None


def sentence(deferral: Deferral) -> str:
    """Say what a run waited for, or waits for."""
    why = WHY[deferral.reason].format(deferral.key)
    since = at_text(epoch_ms(deferral.since))
    if deferral.until is None:
        return f"It waits since {since}: {why}."
    times = "" if deferral.count <= 1 else f" {counted(deferral.count, 'time')}"
    return f"It was deferred{times}, from {since} to {at_text(epoch_ms(deferral.until))}: {why}."
