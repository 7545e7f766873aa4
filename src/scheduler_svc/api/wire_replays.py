"""How a replay by filter looks from outside, and what asks for one."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from scheduler_svc.api.wire import NextCursor, Stamp, stamp, stamp_or_none
from scheduler_svc.api.wire_backfills import Rate
from scheduler_svc.domain import replays
from scheduler_svc.domain.backfills import RATE_DEFAULT
from scheduler_svc.domain.replays import ReplayFilter, ReplayStatus


class ReplayRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ended runs to send again, and how fast; a filter of nothing needs `expect_count`."""

    filter: ReplayFilter
    max_per_minute: Rate = RATE_DEFAULT
    expect_count: (
        Annotated[int, Meta(ge=0, description="Refuse with 409 where another number matches.")]
        | None
    ) = None
    dry_run: bool = False


class ReplayExtent(Struct, frozen=True, kw_only=True):
    """What a replay would send."""

    count: int


class Replay(Struct, frozen=True, kw_only=True):
    """A replay: of `total` runs `created` are sent again by now, and `done` of these ended.

    `left_out` were mended, or are being sent again, by someone else.
    """

    id: UUID
    filter: ReplayFilter
    max_per_minute: Rate
    status: ReplayStatus
    reason: str | None
    total: int
    created: int
    left_out: int
    done: int
    created_at: Stamp
    finished_at: Stamp | None


class ReplayList(Struct, frozen=True, kw_only=True):
    """A page of replays, newest first."""

    items: list[Replay]
    next_cursor: NextCursor


def replay_view(replay: replays.Replay) -> Replay:
    """Write a replay for the answer."""
    return Replay(
        id=replay.id,
        filter=replay.filter,
        max_per_minute=replay.max_per_minute,
        status=replay.status,
        reason=replay.reason,
        total=replay.total,
        created=replay.created,
        left_out=replay.left_out,
        done=replay.done,
        created_at=stamp(replay.created_at),
        finished_at=stamp_or_none(replay.finished_at),
    )
