"""A schedule: the rule of a job that says when it occurs.

Promises the JSON shape that clients send and get back. Does not judge values (`schedule_check`)
and computes no instants (`occurrences`).
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from scheduler_svc.domain.duration import DurationText

LIST_MAX: Final = 100

DstGap = Literal["auto", "run_after", "skip"]
DstOverlap = Literal["auto", "first", "second", "both"]
IfPast = Literal["reject", "run", "skip"]
Instant = Annotated[datetime, Meta(tz=True, description="An RFC 3339 instant with an offset.")]


class Window(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A span of time in which nothing occurs: `from` inclusive, `to` exclusive."""

    from_: Instant = field(name="from")
    to: Instant


class Schedule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a job occurs: exactly one of `cron`, `every` and `at`, in a time zone."""

    cron: str | list[str] | UnsetType = UNSET
    every: DurationText | UnsetType = UNSET
    anchor: Instant | UnsetType = UNSET
    at: Instant | list[Instant] | UnsetType = UNSET
    if_past: IfPast | UnsetType = UNSET
    timezone: str = "UTC"
    dst_gap: DstGap = "auto"
    dst_overlap: DstOverlap = "auto"
    spread: DurationText = "0s"
    start: Instant | None = None
    end: Instant | None = None
    max_runs: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    exclude: list[str | Window] = []
