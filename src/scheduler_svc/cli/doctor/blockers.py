"""What keeps vacuum from removing dead rows, and so makes every pass of the claim read more."""

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, lasted, warning
from scheduler_svc.store import doctor
from scheduler_svc.store.pool import Connection

SLOT_BYTES = 1024**3
WHY = "as long as it is there no dead row can be removed, in any table"


async def look(around: Surroundings, conn: Connection) -> list[Finding]:
    """Look for old transactions, prepared ones, and slots that nobody reads."""
    found = [
        warning(
            "blockers.transaction",
            f"session {one.pid} ({one.who}, {one.application or 'no name'}) has had a transaction"
            f" open for {lasted(one.seconds)}; it is {one.state}",
            WHY,
            f"SELECT pg_terminate_backend({one.pid});",
        )
        for one in await doctor.old_transactions(conn, around.patience)
    ]
    found += [
        fault(
            "blockers.prepared",
            f"the prepared transaction '{one.gid}' of {one.owner} is {lasted(one.seconds)} old",
            f"{WHY}; it outlives restarts and keeps its locks",
            f"ROLLBACK PREPARED '{one.gid}';",
        )
        for one in await doctor.prepared(conn, around.patience)
    ]
    for slot in await doctor.slots(conn):
        if not slot.active:
            behind = f", {slot.behind // 1024**2} MB behind" if slot.behind > 0 else ""
            found.append(
                fault(
                    "blockers.slot",
                    f"nobody reads the replication slot {slot.name}{behind}",
                    "the server keeps its whole log for it until the disk is full",
                    f"SELECT pg_drop_replication_slot('{slot.name}'); or start its reader",
                )
            )
        elif slot.behind > SLOT_BYTES:
            found.append(
                warning(
                    "blockers.slot_behind",
                    f"the reader of slot {slot.name} is {slot.behind // 1024**2} MB behind",
                    "the server keeps that much of its log",
                    "see why the reader is slow: SELECT * FROM pg_stat_replication;",
                )
            )
    return found
