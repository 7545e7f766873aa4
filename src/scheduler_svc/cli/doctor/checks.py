"""The list of checks, in the order in which they are made and shown, and how each is made.

Promises that each ends in time, that none writes, and that one which fails is a finding of its own.
"""

import asyncio
import os
from collections.abc import Awaitable

from msgspec import Struct

from scheduler_svc.cli.doctor import (
    blockers,
    configuration,
    disk,
    egress,
    held,
    noticed,
    replicas,
    requests,
    schema,
    sealed,
    server,
    storage,
)
from scheduler_svc.cli.doctor.finding import (
    Check,
    DatabaseCheck,
    Finding,
    Surroundings,
    fault,
    warning,
)
from scheduler_svc.store.doctor import reading
from scheduler_svc.store.pool import Pool, close_pool, is_database_away, open_pool

CHECK_SECONDS = 6.0
CONNECT_SECONDS = 5.0
SCHEMA = "schema"

FIRST: tuple[Check, ...] = (
    Check("settings", configuration.look),
    Check("egress", egress.look),
)
OF_THE_SERVER: tuple[DatabaseCheck, ...] = (
    DatabaseCheck("server", server.look),
    DatabaseCheck("disk", disk.look),
    DatabaseCheck("blockers", blockers.look),
    DatabaseCheck(SCHEMA, schema.look),
)
OF_OUR_TABLES: tuple[DatabaseCheck, ...] = (
    DatabaseCheck("access", configuration.look_for_keys),
    DatabaseCheck("storage", storage.look),
    DatabaseCheck("replicas", replicas.look),
    DatabaseCheck("holds", held.look),
    DatabaseCheck("requests", requests.look),
    DatabaseCheck("secrets", sealed.look),
)
"""These ask tables that a database which is not migrated does not have."""
LAST: tuple[Check, ...] = (Check("notices", noticed.look),)


class Report(Struct):
    """What was looked at, what was not and why, and what was found."""

    looked_at: list[str]
    left_out: list[str]
    findings: list[Finding]

    @property
    def status(self) -> str:
        levels = {finding.level for finding in self.findings}
        return "faults" if "fault" in levels else "warnings" if levels else "ok"


async def examine(around: Surroundings) -> Report:
    """Make every check that can be made."""
    report = Report([], [], [])
    for check in FIRST:
        await _made(report, check.name, check.look(around))
    pool = await _database(around, report)
    if pool is None:
        report.left_out += [one.name for one in (*OF_THE_SERVER, *OF_OUR_TABLES)]
        report.left_out += [check.name for check in LAST]
        return report
    try:
        for one in OF_THE_SERVER:
            await _made(report, one.name, _on(pool, one, around))
        behind = any(finding.check == "schema.behind" for finding in report.findings)
        for one in OF_OUR_TABLES:
            if behind:
                report.left_out.append(one.name)
            else:
                await _made(report, one.name, _on(pool, one, around))
    finally:
        await close_pool(pool)
    for check in LAST:
        await _made(report, check.name, check.look(around))
    return report


async def _on(pool: Pool, check: DatabaseCheck, around: Surroundings) -> list[Finding]:
    async with reading(pool, seconds=CHECK_SECONDS) as conn:
        return await check.look(around, conn)


async def _made(report: Report, name: str, looking: Awaitable[list[Finding]]) -> None:
    report.looked_at.append(name)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            report.findings += await looking
    except TimeoutError:
        report.findings.append(_unmade(name, f"took longer than {CHECK_SECONDS:.0f} s"))
    except Exception as error:  # noqa: BLE001 - the one place; a check that fails is a finding
        report.findings.append(_unmade(name, f"failed: {type(error).__name__}: {error}"))


def _unmade(name: str, what: str) -> Finding:
    return warning(
        f"{name}.not_checked",
        f"this check {what}",
        "what it looks for may be there",
        "try again; where a right is missing: GRANT pg_monitor TO CURRENT_USER;",
    )


async def _database(around: Surroundings, report: Report) -> "Pool | None":
    """Connect as a replica does, or say why that is not possible."""
    report.looked_at.append("database")
    if around.dsn is None:
        report.findings.append(
            fault(
                "database.none",
                "DATABASE_URL is not set, and no embedded server runs in SCHEDULER_DATA_DIR",
                "there is nothing to keep jobs in",
                "set DATABASE_URL, or start the development profile: make run",
            )
        )
        return None
    try:
        return await open_pool(
            around.dsn,
            application_name=f"scheduler-svc doctor {os.getpid()}",
            size_max=1,
            statement_cache_size=0,
            connect_seconds=CONNECT_SECONDS,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what to say
        away = is_database_away(error)
        report.findings.append(
            fault(
                "database.away" if away else "database.refuses",
                f"no connection to the database: {type(error).__name__}: {error}".rstrip(": "),
                "replicas wait and fire nothing, the API answers 503" if away else "nobody gets in",
                "see whether it runs and can be reached from here: pg_isready"
                ' --dbname="$DATABASE_URL"'
                if away
                else "correct user, password, database or TLS in DATABASE_URL",
            )
        )
        return None
