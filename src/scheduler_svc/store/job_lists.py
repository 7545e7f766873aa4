"""Lists of jobs: each order pages by key, each filter has an index that serves it where it is rare.

A page is one statement, or two where it passes from the rows that have the key to those that lack
it, which come last in both directions. `q` alone has no index: it reads what the rest leaves.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from asyncpg import Record

from scheduler_svc.domain.ids import EPOCH, epoch_ms, instant_at
from scheduler_svc.domain.jobs import Job, JobState
from scheduler_svc.store.jobs import job_of, last_runs
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement

JobOrder = Literal["created_at", "-created_at", "next_fire_at", "-next_fire_at", "name", "-name"]

LAST = instant_at(253_402_300_799_000)
NAME_END = "~"  # follows every character that a name may have
ID_FIRST, ID_LAST = UUID(int=0), UUID(int=2**128 - 1)

_WITH: dict[str, tuple[str, Any]] = {
    "created_at": ("list_jobs_created_asc", EPOCH),
    "-created_at": ("list_jobs_created_desc", LAST),
    "next_fire_at": ("list_jobs_next_asc", EPOCH),
    "-next_fire_at": ("list_jobs_next_desc", LAST),
    "name": ("list_jobs_name_asc", ""),
    "-name": ("list_jobs_name_desc", NAME_END),
}
_WITHOUT: dict[str, str] = {
    "next_fire_at": "list_jobs_idle_asc",
    "-next_fire_at": "list_jobs_idle_desc",
    "name": "list_jobs_unnamed_asc",
    "-name": "list_jobs_unnamed_desc",
}


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs: every condition that is given must hold; `q` is a literal substring."""

    namespace: str
    state: JobState | None = None
    labels: dict[str, str] = {}
    name_prefix: str | None = None
    q: str | None = None


class Place(msgspec.Struct, frozen=True):
    """A row of a list: its sort key (epoch milliseconds, a name, or null) and its id."""

    key: int | str | None
    id: UUID


async def list_jobs(
    conn: Connection, wanted: JobFilter, order: JobOrder, *, after: Place | None, at_most: int
) -> list[Job]:
    """Return a page of jobs, last runs included; runs in a transaction of the caller's."""
    await conn.execute(statement("plan_afresh"))
    filters = filter_values(wanted)
    rows: list[Record] = []
    if after is None or after.key is not None:
        name, begin = _WITH[order]
        place = (begin, _edge(order)) if after is None else (_key(after.key), after.id)
        rows += await conn.fetch(statement(name), wanted.namespace, *place, at_most, *filters)
    if len(rows) < at_most and order in _WITHOUT:
        edge = after.id if after is not None and after.key is None else _edge(order)
        rows += await conn.fetch(
            statement(_WITHOUT[order]), wanted.namespace, edge, at_most - len(rows), *filters
        )
    last = await last_runs(conn, [row["id"] for row in rows])
    return [job_of(row, last.get(row["id"])) for row in rows]


def place_of(job: Job, order: JobOrder) -> Place:
    """Return where a job stands in a list of this order."""
    match order.removeprefix("-"):
        case "name":
            return Place(job.definition.name, job.id)
        case "next_fire_at":
            at = job.next_fire_at
            return Place(None if at is None else epoch_ms(at), job.id)
        case _:
            return Place(epoch_ms(job.created_at), job.id)


def filter_values(wanted: JobFilter) -> tuple[Any, ...]:
    """Return a filter as the statements of the lists take it."""
    labels = msgspec.json.encode(wanted.labels).decode() if wanted.labels else None
    low = wanted.name_prefix or None
    high = None if low is None else low[:-1] + chr(ord(low[-1]) + 1)
    return (wanted.state, labels, low, high, wanted.q or None)


def _key(key: int | str | None) -> datetime | str | None:
    return instant_at(key) if isinstance(key, int) else key


def _edge(order: JobOrder) -> UUID:
    """Return the id before all others in this order."""
    return ID_LAST if order.startswith("-") else ID_FIRST
