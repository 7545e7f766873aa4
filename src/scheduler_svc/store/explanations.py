"""The rows of the ledger that speak of one instant of a job."""

from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record

from scheduler_svc.domain.explain_run import Entry
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.store.archives import file_of
from scheduler_svc.store.histories import pruned_before
from scheduler_svc.store.partitions import day_of, names
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.queries import statement
from scheduler_svc.store.runs import deferral_of


async def entry_at(conn: Connection, job_id: UUID, at_ms: int) -> Entry | None:
    """Return the row for an instant: of its occurrence, of a range around it, or of another run."""
    at = instant_at(at_ms)
    rows = await conn.fetch(statement("runs_at"), job_id, at)
    own = run_id(job_id, at_ms)
    for row in rows:
        if row["id"] == own:
            return _entry(row)
    around = await conn.fetchrow(statement("covering_run"), job_id, at)
    if around is not None:
        return _entry(around)
    return _entry(rows[0]) if rows else None


async def history_begins(conn: Connection, job_id: UUID) -> int:
    """Return the first instant of which the history of a job is still there, in epoch milliseconds.

    That is where the first day begins, or where pruning by row has come to.
    """
    return max(await pruned_before(conn, job_id), await first_day(conn))


async def first_day(conn: Connection) -> int:
    """Return when the first day of all history begins; 0 where there is none."""
    days = await names(conn)
    if not days:
        return 0
    first = day_of(days[0])
    return epoch_ms(datetime(first.year, first.month, first.day, tzinfo=UTC))


async def archived(conn: Connection, at_ms: int, begins_ms: int) -> str | None:
    """Return the file that the day of a pruned instant was written to."""
    return await file_of(conn, instant_at(at_ms).date()) if 0 <= at_ms < begins_ms else None


def _entry(row: Record) -> Entry:
    return Entry(**(dict(row) | {"deferral": deferral_of(row)}))
