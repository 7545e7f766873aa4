"""The schema against this build: its version, whose it is, and whether its indexes are whole."""

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.store import doctor, migrate
from scheduler_svc.store.expected_indexes import expected_indexes
from scheduler_svc.store.pool import Connection


async def look(_around: Surroundings, conn: Connection) -> list[Finding]:
    """Compare the database with the files of this build."""
    standing = await migrate.standing(conn)
    if standing.fault is not None:
        edited = "edited" in standing.fault
        return [
            fault(
                "schema.edited" if edited else "schema.behind",
                f"the database is {standing.fault}",
                "no replica of this build starts on it",
                "use the build that the database was migrated with"
                if edited
                else "scheduler-svc migrate",
            )
        ]
    found = []
    if standing.database > standing.build:
        found.append(
            warning(
                "schema.ahead",
                f"the database has migration {standing.database}, this build {standing.build}",
                "a newer build has migrated it; old replicas work until they are replaced",
                "update this build",
            )
        )
    owner = await doctor.owner(conn)
    if not owner.owned:
        found.append(
            fault(
                "schema.owner",
                f"the tables belong to {owner.owner}, and {owner.me} is no member of it",
                "the days of history can neither be made nor dropped",
                f'GRANT "{owner.owner}" TO "{owner.me}";',
            )
        )
    return found + await _indexes(conn)


async def _indexes(conn: Connection) -> list[Finding]:
    have = {index.name: index for index in await doctor.indexes(conn)}
    expected = expected_indexes()
    found = []
    for name, index in have.items():
        if not index.valid:
            found.append(
                fault(
                    "schema.index_invalid",
                    f"the index {name} on {index.on_table} is not valid",
                    "it is written and never read: an attempt to build it was broken off",
                    f'REINDEX INDEX CONCURRENTLY "{name}";'
                    if name in expected
                    else f'DROP INDEX CONCURRENTLY "{name}";',
                )
            )
        elif name not in expected and not index.enforces and not index.partition:
            found.append(
                warning(
                    "schema.index_extra",
                    f"the index {name} on {index.on_table} is not ours, and was used"
                    f" {index.scans} times ({index.bytes // 1024} kB)",
                    "each fire pays for each index",
                    f'DROP INDEX CONCURRENTLY "{name}";',
                )
            )
    for name, definition in expected.items():
        if name not in have:
            found.append(
                fault(
                    "schema.index_missing",
                    f"the index {name} is not there",
                    "what it serves reads whole tables instead",
                    definition,
                )
            )
    return found
