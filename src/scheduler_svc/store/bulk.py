"""Many jobs at once: what `jobs` and `expectations` write for one, for a batch in one statement."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

import msgspec

from scheduler_svc.domain.drift import Expectation
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.jobs import Job
from scheduler_svc.store.expectations import literal
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

_ENCODER = msgspec.json.Encoder()
_literal = lru_cache(maxsize=4096)(literal)


Row = tuple[object, ...]
"""A new job as `insert_jobs` writes it."""
Ahead = tuple[int | None, int | None, str, int | None]
"""The end of a row, in epoch milliseconds: the next occurrence, when it is sent, the instants that
are expected, and when these are looked at again. The driver writes numbers five times as fast."""


async def lock_namespace(conn: Connection, namespace: str) -> None:
    """Hold off other bulk creates of the namespace until the transaction ends."""
    digest = sha256(f"bulk\0{namespace}".encode()).digest()
    await conn.execute(statement("lock_bulk"), int.from_bytes(digest[:8], signed=True))


async def insert_jobs(
    conn: Connection, rows: Sequence[Row], *, namespace: str, now: datetime, versions: str
) -> set[UUID]:
    """Write new jobs of one namespace and instant; return the ids of those whose name was free."""
    made = await conn.fetch(
        statement("insert_jobs"), namespace, now, versions, *zip(*rows, strict=True)
    )
    return {row[0] for row in made}


def row_of(job: Job, ahead: Ahead) -> Row:
    """Write a job that is armed as a row."""
    definition = job.definition
    return (
        job.id,
        definition.name,
        definition.description,
        _ENCODER.encode(definition.labels).decode(),
        _ENCODER.encode(definition).decode(),
        job.state,
        *ahead,
    )


def ahead_of(job: Job, expected: Expectation) -> Ahead:
    """Write what lies ahead of a job that is armed as its row holds it."""
    return (
        None if job.scheduled_for is None else epoch_ms(job.scheduled_for),
        None if job.next_fire_at is None else epoch_ms(job.next_fire_at),
        _literal(tuple(expected.instants)),
        expected.refresh_ms,
    )
