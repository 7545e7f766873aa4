"""The disk of the database, where it is on this host and lets itself be asked."""

import shutil
from pathlib import Path

from scheduler_svc.cli.doctor.finding import Finding, Surroundings, fault
from scheduler_svc.store import doctor
from scheduler_svc.store.pool import Connection

FREE_SHARE = 0.05
GIBIBYTE = 1024**3


async def look(_around: Surroundings, conn: Connection) -> list[Finding]:
    """Measure the file system of the data folder."""
    folder = (await doctor.server_settings(conn)).get("data_directory")
    if folder is None or not (Path(folder.setting) / "..").exists():
        return []
    usage = shutil.disk_usage(Path(folder.setting).parent)
    if usage.free > max(GIBIBYTE, FREE_SHARE * usage.total):
        return []
    return [
        fault(
            "disk.full",
            f"{usage.free / GIBIBYTE:.1f} GB of {usage.total / GIBIBYTE:.1f} GB are free where the"
            f" database lies ({folder.setting})",
            "a full disk stops the database, and so everything",
            "make room: SCHEDULER_RETENTION shorter, DROP of old archives, or a larger disk",
        )
    ]
