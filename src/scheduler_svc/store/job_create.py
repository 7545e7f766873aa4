"""Creating a job in one statement: for a create that has no other effect than the job itself."""

from datetime import datetime

import asyncpg
import msgspec

from scheduler_svc.domain.audit import Actor
from scheduler_svc.domain.errors import NameTaken
from scheduler_svc.domain.ids import instant_at
from scheduler_svc.domain.jobs import Job
from scheduler_svc.store import notices
from scheduler_svc.store.jobs import Expected
from scheduler_svc.store.pool import Connection
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


async def create_job(
    conn: Connection,
    job: Job,
    *,
    expected: Expected,
    wake_ms: int | None,
    settings: Settings,
    near: Span | None,
    near_max: int,
    entry: Entry,
) -> int | None:
    """Write a new job and its audit entry; None where the namespace has other settings by now.

    Returns how many timers are due in [low, high) of `near`, at most `near_max`. Raises NameTaken.
    """
    definition = job.definition
    low, high = (None, None) if near is None else map(instant_at, near)
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
            *expected,
            None if wake_ms is None else notices.wake_text(wake_ms),
            settings.revision,
            settings.updated_at,
            low,
            high,
            near_max,
            entry.actor.kind,
            entry.actor.id,
            entry.actor.name,
            entry.address,
            entry.request_id,
            entry.after,
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(f"A job named '{definition.name}' exists already.") from error
    assert row is not None  # noqa: S101 - a SELECT of scalars has a row
    return int(row["crowd"]) if row["made"] else None
