"""The stream of events in the store: written by whoever made them happen, read by who shows them.

Promises that ids become visible in their order, so that a reader who has seen one has missed none
below it. Will not keep them: they are for those who watch now, or were cut off a moment ago.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.stream import Happened
from scheduler_svc.store import notices
from scheduler_svc.store.pool import Connection, Pool, connection, transaction
from scheduler_svc.store.queries import statement

KEPT_MS = 300_000
"""How long an event can be come back for."""
INTEREST_MS = 120_000
"""How long a word that somebody watches counts; given anew when half of it is over."""


class Event(NamedTuple):
    """One event as it is kept."""

    id: int
    namespace: str
    name: str
    subject: UUID
    job_id: UUID
    status: str
    scheduled_for: datetime | None
    at: datetime


class Bounds(NamedTuple):
    """The oldest id that is kept, None without any, and the last that was given out."""

    oldest: int | None
    newest: int


async def insert_events(pool: Pool, told: Sequence[Happened], *, seconds: float) -> None:
    """Keep what happened, in order, and tell those who show it."""
    rows = [
        (
            one.name,
            one.subject,
            one.job_id,
            one.status,
            None if one.scheduled_ms is None else instant_at(one.scheduled_ms),
            one.namespace,
            instant_at(one.at_ms),
        )
        for one in told
    ]
    async with transaction(pool, seconds=seconds) as conn:
        await conn.execute(statement("events_in_turn"))
        await conn.execute(statement("insert_events"), *map(list, zip(*rows, strict=True)))
        await notices.events_told(conn)


async def events_after(conn: Connection, after: int, *, batch: int) -> list[Event]:
    """Read the next events of all namespaces."""
    rows = await conn.fetch(statement("events_after"), after, batch)
    return [Event(*row) for row in rows]


async def bounds(conn: Connection) -> Bounds:
    """Tell what is kept, whatever writers are under way."""
    row = await conn.fetchrow(statement("event_bounds"))
    if row is None or not row["is_called"]:
        return Bounds(None, 0)
    return Bounds(row["oldest"], row["newest"])


async def settled_bounds(pool: Pool) -> Bounds:
    """Tell what is kept once writers under way are done: what comes has a greater id."""
    async with transaction(pool) as conn:
        await conn.execute(statement("events_settled"))
        return await bounds(conn)


async def prune(conn: Connection, *, now_ms: int, batch: int) -> None:
    """Forget a batch of what is too old to come back for."""
    await conn.execute(statement("prune_events"), instant_at(now_ms - KEPT_MS), batch)


async def watch(pool: Pool, *, now_ms: int) -> None:
    """Say that somebody watches, unless that was said a moment ago."""
    until, early = instant_at(now_ms + INTEREST_MS), instant_at(now_ms + INTEREST_MS // 2)
    async with transaction(pool) as conn:
        if await conn.fetchval(statement("watch_events"), until, early) is not None:
            await notices.watch_begun(conn)


async def is_watched(pool: Pool, *, now_ms: int) -> bool:
    """Tell whether anybody watches, at any replica."""
    async with connection(pool) as conn:
        return bool(await conn.fetchval(statement("events_watched"), instant_at(now_ms)))
