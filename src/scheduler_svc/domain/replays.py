"""A replay by filter: ended runs sent again at a rate, in steps that a crash can not double.

Pure: the record, its bounds, and when the runs of one step are due. The pace and the bounds are
those of a backfill; what is different is where the runs come from.
"""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.domain.backfills import AHEAD_MS, OPEN_MAX, STEP_RUNS, gap_ms
from scheduler_svc.domain.runs import Trigger
from scheduler_svc.domain.schedule import Instant

ReplayStatus = Literal["running", "completed", "cancelled"]
ReplayedStatus = Literal["failed", "cancelled", "skipped", "succeeded"]

RUNS_MAX = 1_000_000


class ReplayFilter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ended runs: every condition that is given must hold."""

    status: ReplayedStatus = "failed"
    job_id: UUID | None = None
    since: Annotated[
        Instant | None, Meta(description="Only with `scheduled_for` at or after this.")
    ] = None
    until: Annotated[Instant | None, Meta(description="Only with `scheduled_for` before this.")] = (
        None
    )
    reason: Annotated[str, Meta(max_length=64)] | None = None
    trigger: Annotated[
        Trigger | None,
        Meta(
            description="Without it all but replays, which their originals stand for, and alerts."
        ),
    ] = None
    label: Annotated[
        list[Annotated[str, Meta(max_length=320)]],
        Meta(max_length=64, description="`key:value` of the job as it is now; all must hold."),
    ] = []


class Replay(Struct, frozen=True, kw_only=True):
    """The record of one replay; `done` counts the runs made that have ended."""

    id: UUID
    namespace: str
    filter: ReplayFilter
    max_per_minute: int
    total: int
    created: int = 0
    left_out: int = 0
    done: int = 0
    status: ReplayStatus = "running"
    reason: str | None = None
    after_at: datetime
    after_id: UUID
    paced_ms: int
    created_at: datetime
    finished_at: datetime | None = None


def labels_of(given: list[str]) -> dict[str, str]:
    """Read `key:value` pairs; raise ValueError for one that is none, or two of one key."""
    labels: dict[str, str] = {}
    for text in given:
        key, colon, value = text.partition(":")
        if not colon or not key:
            raise ValueError(f"'{text[:100]}' is not of the form key:value")
        if labels.setdefault(key, value) != value:
            raise ValueError(f"asks for two values of '{key[:100]}': no job has both")
    return labels


def turns(replay: Replay, *, room: int, now_ms: int) -> list[int]:
    """List when the next runs may be due: as many as the rate and the room allow now.

    `room` is how many unfinished runs the caller may add, of this replay and of all others.
    """
    room = min(room, OPEN_MAX - (replay.created - replay.done), STEP_RUNS)
    due_ms, gap = max(replay.paced_ms, now_ms), gap_ms(replay.max_per_minute)
    found: list[int] = []
    while len(found) < room and due_ms <= now_ms + AHEAD_MS:
        found.append(due_ms)
        due_ms += gap
    return found
