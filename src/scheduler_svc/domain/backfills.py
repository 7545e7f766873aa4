"""A backfill: past occurrences of a job made runs at a rate, in steps that a crash can not double.

Pure: the record, its bounds, and what one step makes of it. A step names the runs it wants, where
the cursor goes and when the next step may be; the store writes all of that at once or nothing.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from scheduler_svc.domain.ids import run_id
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, count_between, next_after
from scheduler_svc.domain.schedule import Schedule

BackfillStatus = Literal["running", "completed", "cancelled"]
BackfillOverlap = Literal["skip", "queue", "allow"]

OCCURRENCES_MAX = 1_000_000
RATE_DEFAULT = 60
RATE_MAX = 6000
OPEN_MAX = 32
"""Unfinished runs of one backfill: a target that is slow or fails is not sent more meanwhile."""
SLICE_MS = 90 * 86_400_000
STEP_RUNS = 200
AHEAD_MS = 2000
"""How far ahead a step makes runs, so that the rate holds though steps come once a second."""


class Backfill(Struct, frozen=True, kw_only=True):
    """The record of one backfill; `done` counts the runs made that have ended."""

    id: UUID
    job_id: UUID
    namespace: str
    range_from: datetime
    range_to: datetime
    schedule: Schedule
    anchored_at: datetime
    overlap: BackfillOverlap
    max_per_minute: int
    total: int
    created: int = 0
    done: int = 0
    status: BackfillStatus = "running"
    reason: str | None = None
    next_from_ms: int
    paced_ms: int
    created_at: datetime
    finished_at: datetime | None = None


class Extent(Struct, frozen=True):
    """How many occurrences a range has, and the first and the last of them."""

    count: int
    first_ms: int | None
    last_ms: int | None


class BackfillRun(Struct, frozen=True):
    """A run to write: `due` from `due_ms` on, or skipped by the backfill's overlap rule."""

    id: UUID
    scheduled_ms: int
    due_ms: int
    status: Literal["due", "skipped"]


class Step(Struct, frozen=True):
    """What one step makes, and where it leaves the cursor and the pace."""

    runs: list[BackfillRun]
    next_from_ms: int
    paced_ms: int
    exhausted: bool


def extents(timetable: Timetable, from_ms: int, to_ms: int) -> Iterator[Extent]:
    """Count the occurrences in [from, to) slice by slice, each answer with all before it.

    The last one is the whole, or just more than is allowed. Of hostile schedules a slice takes
    tens of milliseconds and half a century seconds, so the caller lets others go between two.
    """
    found = Extent(0, None, None)
    for begin_ms in range(max(from_ms, 0), to_ms, SLICE_MS):
        end_ms = min(begin_ms + SLICE_MS, to_ms)
        count, first, last = count_between(
            timetable, begin_ms - 1, end_ms - 1, OCCURRENCES_MAX + 1 - found.count
        )
        if count:
            first = first if found.first_ms is None else found.first_ms
            found = Extent(found.count + count, first, last)
        yield found
        if found.count > OCCURRENCES_MAX:
            return


def gap_ms(max_per_minute: int) -> int:
    """Return the time between two runs, rounded up: the rate is never exceeded."""
    return -(-60_000 // max_per_minute)


def timetable_of(backfill: Backfill) -> Timetable:
    """Compile the schedule that the backfill was asked for under."""
    return compile_schedule(
        backfill.schedule, job_id=backfill.job_id, created_at=backfill.anchored_at
    )


def step(backfill: Backfill, timetable: Timetable, *, to_ms: int, room: int, now_ms: int) -> Step:
    """Make as many runs as the rate, the overlap rule and the room allow now.

    `room` is how many unfinished runs the caller may add, of this backfill and of all others.
    """
    open_count = backfill.created - backfill.done
    room = min(room, OPEN_MAX - open_count)
    gap = gap_ms(backfill.max_per_minute)
    at = next_after(timetable, backfill.next_from_ms - 1)
    next_from_ms, due_ms = backfill.next_from_ms, max(backfill.paced_ms, now_ms)
    horizon_ms = now_ms + (AHEAD_MS if backfill.overlap == "allow" else 0)
    runs: list[BackfillRun] = []
    while at is not None and at < to_ms and due_ms <= horizon_ms and len(runs) < STEP_RUNS:
        status = _judge(backfill.overlap, open_count, room)
        if status is None:
            return Step(runs, next_from_ms, due_ms, exhausted=False)
        if status == "due":
            open_count, room = open_count + 1, room - 1
        runs.append(BackfillRun(run_id(backfill.job_id, at, backfill.id), at, due_ms, status))
        due_ms, next_from_ms = due_ms + gap, at + 1
        at = next_after(timetable, at)
    exhausted = at is None or at >= to_ms
    return Step(runs, next_from_ms, due_ms, exhausted)


def _judge(
    overlap: BackfillOverlap, open_count: int, room: int
) -> Literal["due", "skipped"] | None:
    """Say what the next occurrence becomes beside the unfinished ones of its backfill.

    None: nothing yet, it waits for its turn.
    """
    match overlap:
        case "skip" if open_count > 0:
            return "skipped"
        case "queue" if open_count > 0:
            return None
        case _:
            return "due" if room > 0 else None
