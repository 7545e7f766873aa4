"""Days of history, dead rows, and what vacuum is let do: what makes a fire cost more every day."""

from datetime import timedelta

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.store import doctor, partitions
from scheduler_svc.store.pool import Connection
from scheduler_svc.store.replicas import database_now

DEAD_MIN = 20_000
DEAD_SHARE = 2
"""So many dead rows for each that lives are more than the cost of one more vacuum."""
INDEX_MIN = 64 * 1024**2
INDEX_BYTES = 400
"""An index entry of a timer takes about 40 bytes: tenfold is bloat."""
AGE_MAX = 500_000_000
TIMERS, TIMERS_INDEX = "job_timers", "job_timers_due"


async def look(around: Surroundings, conn: Connection) -> list[Finding]:
    """Look at the days, at dead rows, and at transaction ids."""
    tables = await doctor.tables(conn)
    return [
        *await _days(around, conn),
        *_dead(tables),
        *await _index(conn, tables),
        *await _age(conn),
    ]


async def _days(around: Surroundings, conn: Connection) -> list[Finding]:
    today = (await database_now(conn)).date()
    have = set(await partitions.names(conn))
    wanted = [today, today + timedelta(days=1)]
    missing = [partitions.partition_name(day) for day in wanted]
    missing = [name for name in missing if name not in have]
    found = []
    if missing:
        found.append(
            fault(
                "storage.partitions",
                f"history has no partition {', '.join(missing)}",
                "runs of that day go to the default partition, which is slower and is not dropped",
                "start a replica of the role all or engine: it makes them within five minutes; if"
                " one runs, look for what locks `runs`: SELECT pid, query FROM pg_stat_activity"
                " WHERE pid IN (SELECT pid FROM pg_locks WHERE relation = 'runs'::regclass);",
            )
        )
    kept = timedelta(seconds=around.settings.retention) + timedelta(days=2)
    oldest = partitions.partition_name(today - kept)
    old = [name for name in have if name < oldest]
    if old:
        found.append(
            warning(
                "storage.old_partitions",
                f"{len(old)} days are older than SCHEDULER_RETENTION, from {min(old)} on",
                "they hold runs that have not ended, or no replica could drop them",
                f"see which: SELECT id, status FROM {min(old)} WHERE finished_at IS NULL;"  # noqa: S608 - for people
                " and cancel these runs (POST /runs/{id}/cancel)",
            )
        )
    return found


def _dead(tables: list[doctor.Table]) -> list[Finding]:
    found = []
    for table in tables:
        if table.vacuum_off:
            found.append(
                fault(
                    "storage.vacuum_off",
                    f"autovacuum is off for {table.name}",
                    "its dead rows stay for ever",
                    f"ALTER TABLE {table.name} RESET (autovacuum_enabled);",
                )
            )
        if table.dead > max(DEAD_MIN, DEAD_SHARE * table.live):
            found.append(
                warning(
                    "storage.dead_rows",
                    f"{table.name} has {table.dead:,} dead rows beside {table.live:,} that live",
                    "each look reads past them",
                    f"VACUUM (ANALYZE) {table.name}; and if they stay, see what holds it back:"
                    " a transaction, a slot, a prepared transaction",
                )
            )
    return found


async def _index(conn: Connection, tables: list[doctor.Table]) -> list[Finding]:
    live = max(1, next((table.live for table in tables if table.name == TIMERS), 1))
    return [
        warning(
            "storage.index_bloat",
            f"{index.name} has {index.bytes // 1024**2} MB for {live:,} timers",
            "the claim reads through it at each pass",
            f"REINDEX INDEX CONCURRENTLY {index.name};",
        )
        for index in await doctor.indexes(conn)
        if index.name == TIMERS_INDEX and index.bytes > max(INDEX_MIN, INDEX_BYTES * live)
    ]


async def _age(conn: Connection) -> list[Finding]:
    age = await doctor.transaction_age(conn)
    if age < AGE_MAX:
        return []
    return [
        fault(
            "storage.transaction_ids",
            f"the oldest transaction id is {age:,} transactions old",
            "at 2 billion the server stops taking writes",
            "VACUUM (FREEZE); in this database, after ending what holds vacuum back",
        )
    ]
