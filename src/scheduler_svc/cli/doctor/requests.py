"""What applications asked for in SQL, with their commit, and no replica has carried out since."""

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, lasted
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import doctor
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.replicas import database_now

LATE_MS = 60_000
"""Milliseconds are usual from the commit on. What we have is the instant of the call, before it: a
transaction that was open for a minute is told of in vain, while its request is carried out."""


async def look(_around: Surroundings, conn: Connection) -> list[Finding]:
    """Count what lies there for over a minute, and say what may keep the replicas from it."""
    now = await database_now(conn)
    old = await doctor.old_sql_requests(conn, before_ms=epoch_ms(now) - LATE_MS)
    if old.since is None:
        return []
    alive = any(one.lease_until >= now for one in await doctor.replicas(conn))
    fix = (
        f"end the transaction that holds job {old.job_id} locked: `scheduler-svc doctor --patience"
        " 10` names those that are open; where none is, restart a replica, and thousands at once"
        " take their time (docs/runbook.md#schedulersqlrequestswait)"
        if alive
        else "start a replica, of any role: scheduler-svc serve"
    )
    return [
        fault(
            "requests.waiting",
            f"{old.waiting} requests made in SQL are not carried out, the oldest for"
            f" {lasted((now - old.since).total_seconds())}",
            "jobs that were created wait paused, triggers have no run yet",
            fix,
        )
    ]
