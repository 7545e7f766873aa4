"""Lists of runs, newest first, paged by the primary key; bounds leave out the days they exclude."""

from datetime import datetime
from uuid import UUID

import msgspec

from scheduler_svc.domain.ids import EPOCH, epoch_ms, instant_at
from scheduler_svc.domain.runs import Run, RunStatus, Trigger
from scheduler_svc.store.job_lists import ID_LAST, LAST
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.runs import run_of


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs: `since` inclusive, `until` exclusive, both on `scheduled_for`.

    Alerts only where `trigger` asks for them.
    """

    namespace: str
    job_id: UUID | None = None
    status: RunStatus | None = None
    trigger: Trigger | None = None
    replay_of: UUID | None = None
    since: datetime = EPOCH
    until: datetime = LAST


class RunPlace(msgspec.Struct, frozen=True):
    """A row of a list of runs: its `scheduled_for` in epoch milliseconds, and its id."""

    scheduled_ms: int
    id: UUID


async def list_runs(
    conn: Connection, wanted: RunFilter, *, after: RunPlace | None, at_most: int
) -> list[Run]:
    """Return a page of runs with their attempts; runs in a transaction of the caller's."""
    await conn.execute(statement("plan_afresh"))
    place = (LAST, ID_LAST) if after is None else (instant_at(after.scheduled_ms), after.id)
    bounds = (*place, at_most, wanted.since, wanted.until)
    rest = (*bounds, wanted.status, wanted.trigger, wanted.replay_of)
    if wanted.job_id is None:
        rows = await conn.fetch(statement("list_runs"), wanted.namespace, *rest)
    else:
        name = statement("list_job_runs")
        rows = await conn.fetch(name, wanted.namespace, *rest, wanted.job_id)
    return [run_of(row) for row in rows]


def run_place(run: Run) -> RunPlace:
    """Return where a run stands in the list."""
    return RunPlace(epoch_ms(run.scheduled_for), run.id)


async def last_occurrence(conn: Connection, job_id: UUID, *, after_ms: int, until_ms: int) -> int:
    """Return the last occurrence in (after, until] that the ledger holds; without one, `after`."""
    found = await conn.fetchval(
        statement("last_occurrence"), job_id, instant_at(after_ms), instant_at(until_ms)
    )
    return after_ms if found is None else epoch_ms(found)
