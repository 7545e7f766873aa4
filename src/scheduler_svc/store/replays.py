"""Replays by filter in the store: one typed function a statement, on the caller's transaction.

A replay's row is locked before its runs are written. A step writes its runs and the cursor in one
statement, so that a replica that dies in between leaves nothing half done.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.ids import epoch_ms, instant_at, scheduled_ms_of
from scheduler_svc.domain.replays import (
    RUNS_MAX,
    Replay,
    ReplayFilter,
    ReplayStatus,
    labels_of,
)
from scheduler_svc.domain.runs import rank
from scheduler_svc.store.job_lists import ID_LAST, LAST
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

FILTER = msgspec.json.Decoder(ReplayFilter)
PRUNE_BATCH = 1000


class Candidate(msgspec.Struct, frozen=True):
    """A run that matches; `busy` where a replay of it is unfinished or has succeeded."""

    id: UUID
    scheduled_for: datetime
    busy: bool


class ReplayPlace(msgspec.Struct, frozen=True):
    """A row of the list: when it was created, in epoch milliseconds, and its id."""

    created_ms: int
    id: UUID


class OpenCount(msgspec.Struct, frozen=True):
    """Unfinished runs: of one replay, and of all."""

    own: int
    everyone: int


class Chain(msgspec.Struct, frozen=True):
    """How often a run was replayed, and what became of these."""

    count: int = 0
    succeeded: int = 0
    failed: int = 0
    unfinished: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one step makes: runs by id with their originals, and where it leaves cursor and pace."""

    run_ids: list[UUID]
    originals: list[Candidate]
    due_ms: list[int]
    left_out: int
    after: tuple[datetime, UUID]
    paced_ms: int


async def insert_replay(conn: Connection, replay: Replay) -> None:
    """Write a new replay."""
    await conn.execute(
        statement("insert_replay"),
        replay.id,
        replay.namespace,
        msgspec.json.encode(replay.filter).decode(),
        replay.max_per_minute,
        replay.total,
        replay.status,
        replay.after_at,
        replay.after_id,
        instant_at(replay.paced_ms),
        replay.created_at,
        replay.finished_at,
    )


async def count_matching(conn: Connection, replay: Replay) -> int:
    """Count what a replay would send, to just beyond what it may; in the caller's transaction."""
    await conn.execute(statement("plan_afresh"))
    found: int = await conn.fetchval(statement("count_replay"), *_wanted(replay), RUNS_MAX + 1)
    return found


async def candidates(conn: Connection, replay: Replay, *, at_most: int) -> list[Candidate]:
    """Return the next runs that match, from the cursor on; in the caller's transaction."""
    await conn.execute(statement("plan_afresh"))
    rows = await conn.fetch(statement("replay_candidates"), *_wanted(replay), at_most)
    return [Candidate(*row) for row in rows]


async def lock_next(conn: Connection, *, horizon_ms: int, seen: Iterable[UUID]) -> Replay | None:
    """Lock the replay whose turn came first; its `done` is not read, see `count_open`."""
    row = await conn.fetchrow(statement("lock_next_replay"), instant_at(horizon_ms), list(seen))
    return None if row is None else _replay_of(row)


async def count_open(conn: Connection, replay_id: UUID) -> OpenCount:
    """Count the unfinished runs of a locked replay, and of all replays."""
    row = await conn.fetchrow(statement("open_replay_runs"), replay_id)
    return OpenCount(0, 0) if row is None else OpenCount(*row)


async def write_step(conn: Connection, replay_id: UUID, step: Step) -> None:
    """Write the runs of a step and move the cursor, at once."""
    await conn.execute(
        statement("write_replay_step"),
        replay_id,
        step.run_ids,
        [one.id for one in step.originals],
        [one.scheduled_for for one in step.originals],
        [instant_at(ms) for ms in step.due_ms],
        rank(0, "backfill"),
        step.left_out,
        *step.after,
        instant_at(step.paced_ms),
    )


async def get_replay(conn: Connection, namespace: str, replay_id: UUID) -> Replay | None:
    """Read one replay with its progress."""
    row = await conn.fetchrow(statement("get_replay"), namespace, replay_id)
    return None if row is None else _replay_of(row)


async def lock_replay(conn: Connection, namespace: str, replay_id: UUID) -> ReplayStatus | None:
    """Lock a replay against steps and other changes; return its status, None without one."""
    found: ReplayStatus | None = await conn.fetchval(statement("lock_replay"), namespace, replay_id)
    return found


async def end_replay(
    conn: Connection,
    replay_id: UUID,
    *,
    status: ReplayStatus,
    now_ms: int,
    reason: str | None = None,
) -> None:
    """Give a locked replay its last state; one that is cancelled takes its waiting runs along."""
    now = instant_at(now_ms)
    await conn.execute(statement("end_replay"), replay_id, status, reason, now)
    if status == "cancelled":
        await conn.fetch(statement("cancel_replay_runs"), replay_id, reason, now)


async def list_replays(
    conn: Connection,
    namespace: str,
    *,
    status: ReplayStatus | None,
    after: ReplayPlace | None,
    at_most: int,
) -> list[Replay]:
    """Return a page of replays, newest first."""
    place: Sequence[Any] = (LAST, ID_LAST)
    if after is not None:
        place = (instant_at(after.created_ms), after.id)
    rows = await conn.fetch(statement("list_replays"), namespace, *place, at_most, status)
    return [_replay_of(row) for row in rows]


def replay_place(replay: Replay) -> ReplayPlace:
    """Return where a replay stands in the list."""
    return ReplayPlace(epoch_ms(replay.created_at), replay.id)


async def prune_replays(conn: Connection, *, before: datetime) -> None:
    """Delete a batch of those that ended before an instant."""
    await conn.execute(statement("prune_replays"), before, PRUNE_BATCH)


async def chain_of(conn: Connection, run_id: UUID) -> Chain:
    """Read how often a run was replayed."""
    row = await conn.fetchrow(statement("replays_of"), run_id, instant_at(scheduled_ms_of(run_id)))
    return Chain() if row is None else Chain(*row)


def _wanted(replay: Replay) -> tuple[Any, ...]:
    wanted = replay.filter
    labels = labels_of(wanted.label)
    return (
        replay.namespace,
        wanted.status,
        replay.after_at,
        replay.after_id,
        wanted.until or LAST,
        replay.created_at,
        wanted.job_id,
        wanted.reason,
        wanted.trigger,
        msgspec.json.encode(labels).decode() if labels else None,
    )


def _replay_of(row: Record) -> Replay:
    values = dict(row)
    values["filter"] = FILTER.decode(row["filter"])
    values["paced_ms"] = epoch_ms(values.pop("paced_at"))
    return Replay(**values)
