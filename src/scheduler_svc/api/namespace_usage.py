"""What a namespace has of what its quotas count, as it is now."""

from scheduler_svc.api.wire_namespaces import NamespaceUsage
from scheduler_svc.domain.quotas import COUNT_MAX, Quotas
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.quotas import count_jobs


async def usage_of(conn: Connection, name: str, quotas: Quotas) -> NamespaceUsage:
    """Count what a namespace has, beside the quotas in force."""
    return NamespaceUsage(
        jobs=await count_jobs(conn, name, at_most=COUNT_MAX), jobs_max=quotas.jobs_max
    )
