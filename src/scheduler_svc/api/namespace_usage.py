"""What a namespace has of what its quotas count, as it is now."""

from scheduler_svc.api.wire_namespaces import NamespaceUsage
from scheduler_svc.domain.quotas import COUNT_MAX, Quotas
from scheduler_svc.store.calendars import read_calendar
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.quotas import count_jobs


async def usage_of(conn: Connection, name: str, quotas: Quotas, *, now_ms: int) -> NamespaceUsage:
    """Count what a namespace has, beside the quotas in force."""
    calendar = await read_calendar(conn, name, now_ms=now_ms)
    return NamespaceUsage(
        jobs=await count_jobs(conn, name, at_most=COUNT_MAX),
        jobs_max=quotas.jobs_max,
        runs_this_minute=calendar.now(),
        runs_per_minute=quotas.runs_per_minute,
    )
