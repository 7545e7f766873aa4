"""Namespaces that fire nothing because somebody has to say what becomes of what they missed."""

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault, warning
from scheduler_svc.store import holds
from scheduler_svc.store.pool import Connection

SHOWN = 5


async def look(_around: Surroundings, conn: Connection) -> list[Finding]:
    """Name them."""
    found = await holds.all_holds(conn)
    waiting = [name for name, hold in found.items() if hold.missed is None]
    going = [name for name, hold in found.items() if hold.missed is not None]
    findings = []
    if waiting:
        some = ", ".join(waiting[:SHOWN]) + (", ..." if len(waiting) > SHOWN else "")
        since = min(found[name].since for name in waiting)
        findings.append(
            fault(
                "holds.held",
                f"{len(waiting)} namespaces are held since {since:%Y-%m-%d %H:%M:%SZ}: {some}",
                "the database was restored or long away: nothing of them fires",
                "scheduler-svc release --all --missed release|once|skip (docs/backup.md)",
            )
        )
    if going:
        findings.append(
            warning(
                "holds.releasing",
                f"{len(going)} namespaces are being let go",
                "what they missed is being worked off",
                "wait; `scheduler-svc release` shows how much is left",
            )
        )
    return findings
