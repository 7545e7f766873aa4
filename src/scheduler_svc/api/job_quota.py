"""The quota of jobs: how many more a namespace may have, counted so that no two creates share one.

All jobs count, the paused and the completed too. Creates of a namespace with the quota go one after
the other, on whichever replica; those of others ask nobody.
"""

from scheduler_svc.api.context import Call
from scheduler_svc.domain.errors import Fault, QuotaExceeded
from scheduler_svc.domain.quotas import CODE, Quotas
from scheduler_svc.store import jobs
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.quotas import count_jobs, lock_creates


async def check_room(
    conn: Connection, call: Call, quotas: Quotas, name: str | None, *, lock: bool = True
) -> None:
    """Raise QuotaExceeded where the namespace may have no further job.

    With `lock` nobody else creates one until the transaction ends. A name that is taken is left for
    the insert to find: under it nothing new would be.
    """
    room = await room_of(conn, call.namespace, quotas, lock=lock)
    if room is None or room > 0:
        return
    if name is not None and await jobs.find_id(conn, call.namespace, name) is not None:
        return
    raise full(call.namespace, quotas)


async def room_of(
    conn: Connection, namespace: str, quotas: Quotas, *, lock: bool = True
) -> int | None:
    """Return how many more jobs a namespace may have; None where nobody counts."""
    if quotas.jobs_max is None:
        return None
    if lock:
        await lock_creates(conn, namespace)
    return max(0, quotas.jobs_max - await count_jobs(conn, namespace, at_most=quotas.jobs_max))


def full(namespace: str, quotas: Quotas, pointer: str = "") -> QuotaExceeded:
    """Refuse a job for which there is no room."""
    detail = (
        f"The namespace '{namespace}' has all the jobs that its quota allows, {quotas.jobs_max}"
        " (jobs_max). Delete some, completed ones too, or ask the operator for more."
    )
    return QuotaExceeded(detail, (Fault(pointer, detail, CODE),))
