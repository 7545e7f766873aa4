"""How a backfill looks from outside, and what asks for one (DESIGN, "Backfill")."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct, field

from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.domain import backfills
from scheduler_svc.domain.backfills import (
    RATE_DEFAULT,
    RATE_MAX,
    BackfillOverlap,
    BackfillStatus,
)
from scheduler_svc.domain.schedule import Instant

OverlapRule = Annotated[
    BackfillOverlap,
    Meta(
        description=(
            "Beside an unfinished run of the same backfill an occurrence is sent (`allow`), waits"
            " (`queue`) or is skipped (`skip`). Runs of the cadence do not count, and are not held"
            " back by those of a backfill."
        )
    ),
]
Rate = Annotated[int, Meta(ge=1, le=RATE_MAX, description="Runs a minute, at most.")]


class BackfillRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range of occurrences to send: `from` inclusive, `to` exclusive and not in the future."""

    from_: Instant = field(name="from")
    to: Instant
    overlap: OverlapRule = "allow"
    max_per_minute: Rate = RATE_DEFAULT
    dry_run: bool = False


class BackfillExtent(Struct, frozen=True, kw_only=True):
    """What a backfill would send."""

    count: int
    first: Stamp | None
    last: Stamp | None


class Backfill(Struct, frozen=True, kw_only=True):
    """A backfill: of `total` occurrences `created` are runs by now, and `done` of these ended."""

    id: UUID
    job_id: UUID
    from_: Stamp = field(name="from")
    to: Stamp
    overlap: OverlapRule
    max_per_minute: Rate
    status: BackfillStatus
    reason: str | None
    total: int
    created: int
    done: int
    created_at: Stamp
    finished_at: Stamp | None


class BackfillList(Struct, frozen=True, kw_only=True):
    """A page of backfills, newest first."""

    items: list[Backfill]
    next_cursor: NextCursor


def backfill_view(backfill: backfills.Backfill) -> Backfill:
    """Write a backfill for the answer."""
    return Backfill(
        id=backfill.id,
        job_id=backfill.job_id,
        from_=stamp(backfill.range_from),
        to=stamp(backfill.range_to),
        overlap=backfill.overlap,
        max_per_minute=backfill.max_per_minute,
        status=backfill.status,
        reason=backfill.reason,
        total=backfill.total,
        created=backfill.created,
        done=backfill.done,
        created_at=stamp(backfill.created_at),
        finished_at=stamp_or_none(backfill.finished_at),
    )
