"""The rows of the ledger that speak of one instant of a job."""

from datetime import UTC, datetime
from uuid import UUID

from asyncpg import Record

from scheduler_svc.domain.explain_run import Entry
from scheduler_svc.domain.ids import epoch_ms, instant_at, run_id
from scheduler_svc.store.partitions import PREFIX, names
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


async def history_begins(conn: Connection) -> int:
    """Return the first instant whose day of history is still there, in epoch milliseconds."""
    days = await names(conn)
    if not days:
        return 0
    day = datetime.strptime(days[0].removeprefix(PREFIX), "%Y%m%d").replace(tzinfo=UTC)
    return epoch_ms(day)


def _entry(row: Record) -> Entry:
    return Entry(**(dict(row) | {"deferral": deferral_of(row)}))
