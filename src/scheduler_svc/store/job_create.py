"""Creating a job in one statement: for a create that has no other effect than the job itself."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from scheduler_svc.domain.audit import Actor
from scheduler_svc.domain.errors import NameTaken
from scheduler_svc.domain.herd import HERD_MIN
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Job
from scheduler_svc.store import notices
from scheduler_svc.store.away import is_database_away
from scheduler_svc.store.gathering import LANES, Gathering
from scheduler_svc.store.jobs import Expected
from scheduler_svc.store.pool import CALL_SECONDS, Connection, Pool
from scheduler_svc.store.queries import statement

_ENCODER = msgspec.json.Encoder()
Span = tuple[int, int]


class Settings(msgspec.Struct, frozen=True):
    """Which settings of a namespace a job was judged by; both None where it has none."""

    revision: int | None
    updated_at: datetime | None


class Entry(msgspec.Struct, frozen=True):
    """What the audit log says of a create: who asked, from where, and for what."""

    actor: Actor
    address: str | None
    request_id: str
    after: str | None


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is created, with all that is written beside it.

    `wake_ms` tells every replica, at commit, that work is due then; `near` is the minute, [low,
    high), whose timers are counted.
    """

    job: Job
    expected: Expected
    wake_ms: int | None
    settings: Settings
    near: Span | None
    entry: Entry


class JobCreates:
    """Creates jobs without a name for those who ask at once (`gathering`), in one statement.

    One with a name may have to wait for another transaction that has the same, and would keep the
    others waiting.
    """

    def __init__(self, pool: Pool, *, seconds: float = CALL_SECONDS, lanes: int = LANES) -> None:
        self._creates: Gathering[New, int | None] = Gathering(
            pool, _create, repeats=False, seconds=seconds, lanes=lanes
        )

    async def create_job(self, new: New) -> int | None:
        """Do what `create_job` does; what is raised says nothing about whether it was created."""
        if new.job.definition.name is not None:
            raise ValueError("a job with a name is created alone")
        return await self._creates.get(new)


async def create_job(conn: Connection, new: New) -> int | None:
    """Write a new job and its audit entry; None where the namespace has other settings by now.

    Returns how many timers are due in its minute, at most HERD_MIN. Raises NameTaken.
    """
    job = new.job
    definition = job.definition
    try:
        row = await conn.fetchrow(
            statement("create_job"),
            job.id,
            job.namespace,
            definition.name,
            definition.description,
            _ENCODER.encode(definition.labels).decode(),
            _ENCODER.encode(definition).decode(),
            job.state,
            job.revision,
            job.created_at,
            job.scheduled_for,
            job.next_fire_at,
            *new.expected,
            None if new.wake_ms is None else notices.wake_text(new.wake_ms),
            new.settings.revision,
            new.settings.updated_at,
            *_span(new),
            HERD_MIN,
            *_entry(new.entry),
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"A job named '{definition.name}' exists already.") from error
    assert row is not None  # noqa: S101 - a SELECT of scalars has a row
    return int(row["crowd"]) if row["made"] else None


async def _create(conn: Connection, batch: Sequence[New]) -> list[int | Exception | None]:
    """Write new jobs without names, and answer each as `create_job` would."""
    if len(batch) == 1:
        return [await create_job(conn, batch[0])]
    try:
        return await _create_all(conn, batch)
    except asyncpg.PostgresError as error:
        if is_database_away(error):
            raise
    return [await _tried(conn, new) for new in batch]  # nothing was written: one of them fails


async def _tried(conn: Connection, new: New) -> int | Exception | None:
    try:
        return await create_job(conn, new)
    except asyncpg.PostgresError as error:
        if is_database_away(error):
            raise
        return error


async def _create_all(conn: Connection, batch: Sequence[New]) -> list[int | Exception | None]:
    wakes = [new.wake_ms for new in batch if new.wake_ms is not None]
    rows = await conn.fetch(
        statement("create_jobs"),
        HERD_MIN,
        notices.wake_text(min(wakes)) if wakes else None,
        *map(list, zip(*map(_row, batch), strict=True)),
    )
    joined: Counter[Span] = Counter()
    crowds: list[int | Exception | None] = []
    for new, row in zip(batch, rows, strict=True):
        if not row["made"]:
            crowds.append(None)
            continue
        # Those before it in the batch are in its minute too, and were not there to be counted.
        before = 0 if new.near is None else joined[new.near]
        crowds.append(min(HERD_MIN, int(row["crowd"]) + before))
        if new.near is not None:
            joined[new.near] += 1
    return crowds


def _row(new: New) -> tuple[Any, ...]:
    """Write a job as a row of `create_jobs`."""
    job = new.job
    definition = job.definition
    return (
        job.id,
        job.namespace,
        definition.description,
        _ENCODER.encode(definition.labels).decode(),
        _ENCODER.encode(definition).decode(),
        job.state,
        job.created_at,
        job.scheduled_for,
        job.next_fire_at,
        *new.expected,
        new.settings.revision,
        new.settings.updated_at,
        *_span(new),
        *_entry(new.entry),
    )


def _entry(entry: Entry) -> tuple[str | None, ...]:
    actor = entry.actor
    return actor.kind, actor.id, actor.name, entry.address, entry.request_id, entry.after


def _span(new: New) -> tuple[datetime | None, datetime | None]:
    if new.near is None:
        return None, None
    return instant_at(new.near[0]), instant_at(new.near[1])
