"""Breaks what the alerts of upkeep watch: archive, audit log, requests, certificates, a restore.

The same as in `breaking`, of which it is a part: each breaks one thing on real replicas, sees its
alert fire, and mends it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx2

from encryption import files_in
from fleet import schedule
from scheduler_svc.engine.archive_file import part_of
from scheduler_svc.store import audit, partitions, sql_requests

if TYPE_CHECKING:
    from breaking import Rig

SOON_DAYS = 3
"""Of a certificate: less than the week that the alert gives."""
AWAY = "5s"
AWAY_SECONDS = 8.0


async def written(rig: "Rig") -> None:
    """Change something, for the audit log to tell of."""
    job = {"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}
    async with httpx2.AsyncClient(base_url=rig.fleet.url()) as http:
        (await http.post("/jobs", json=job)).raise_for_status()


async def full_disk(rig: "Rig") -> tuple[str, ...]:
    """Have a day that is over, and something in the way of its file."""
    now = await rig.ledger.fetchval("SELECT now()")
    day = (now - timedelta(days=100)).date()
    folder = rig.folder / "archive"
    part_of(folder, day).mkdir(parents=True)
    await partitions.ensure(rig.ledger, today=day, ahead=0)
    await rig.fleet.again(1, SCHEDULER_ARCHIVE_DIR=str(folder))
    await rig.fire("SchedulerArchiveFails")
    part_of(folder, day).rmdir()
    await rig.fleet.again(1, SCHEDULER_ARCHIVE_DIR=str(folder))
    return ("SchedulerArchiveFails",)


async def cut_log(rig: "Rig") -> tuple[str, ...]:
    """Take the last entry off the audit log, and write another."""
    await written(rig)
    async with asyncio.timeout(30):
        # It is sealed in another process, which says so only to its log.
        while await rig.ledger.fetchval("SELECT count(*) FROM audit_pending"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    async with rig.ledger.transaction():  # as someone does who owns the database
        await rig.ledger.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        await rig.ledger.execute(
            "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)"
        )
        await rig.ledger.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
    await written(rig)
    await rig.fire("SchedulerAuditBroken")
    return ("SchedulerAuditBroken",)


async def held_chain(rig: "Rig") -> tuple[str, ...]:
    """Hold the chain, so that nobody can seal what is written."""
    async with rig.ledger.transaction():
        await rig.ledger.execute("SELECT pg_advisory_xact_lock($1)", audit.LOCK)
        await written(rig)
        await rig.fire("SchedulerAuditUnsealed", seconds=200)
    return ("SchedulerAuditUnsealed",)


async def held_requests(rig: "Rig") -> tuple[str, ...]:
    """Hold what one replica must have to carry out requests, and ask for something in SQL."""
    await rig.ledger.execute("SELECT pg_advisory_lock($1)", sql_requests.LOCK)
    await rig.ledger.execute(
        """SELECT scheduler.create_job(
            '{"schedule": {"every": "1h"}, "target": {"url": "http://127.0.0.1:1/"}}'
        )"""
    )
    await rig.ledger.execute("UPDATE sql_requests SET asked_at = asked_at - interval '2 minutes'")
    await rig.fire("SchedulerSqlRequestsWait")
    await rig.ledger.execute("SELECT pg_advisory_unlock($1)", sql_requests.LOCK)
    return ("SchedulerSqlRequestsWait",)


async def old_certificate(rig: "Rig") -> tuple[str, ...]:
    """Serve with a certificate that is over in some days, then with a fresh one."""
    files = files_in(rig.folder)
    files.write(days=SOON_DAYS)
    secure = {f"SCHEDULER_{name.upper()}": path for name, path in files.settings.items()}
    await rig.fleet.again(1, **secure)
    rig.seen.watch(rig.fleet.ports, secure=[rig.fleet.ports[1]])
    await rig.fire("SchedulerCertificateExpires")
    files.write(days=90)
    await rig.clear("SchedulerCertificateExpires")
    await rig.fleet.again(1)
    rig.seen.watch(rig.fleet.ports)
    return ("SchedulerCertificateExpires",)


async def long_away(rig: "Rig") -> tuple[str, ...]:
    """Have all replicas away for longer than may be, then say what becomes of what was missed."""
    numbers = list(rig.fleet.running)
    for number in numbers:
        await rig.fleet.end(number)
    await schedule(rig.ledger, rig.sink.url(), jobs=1, begin_seconds=-400, over_seconds=0)
    await asyncio.sleep(AWAY_SECONDS)  # this is what it is about
    for number in numbers:
        await rig.fleet.start(number, SCHEDULER_HOLD_AFTER=AWAY)
    await rig.fire("SchedulerNamespacesHeld")
    async with httpx2.AsyncClient(base_url=rig.fleet.url()) as http:
        told = await http.post("/namespaces/default/release", json={"missed": "skip"})
        told.raise_for_status()
    return ("SchedulerNamespacesHeld",)


BREAKS_OF_UPKEEP: tuple[Callable[["Rig"], Awaitable[tuple[str, ...]]], ...] = (
    full_disk,
    cut_log,
    held_chain,
    held_requests,
    old_certificate,
    long_away,
)
