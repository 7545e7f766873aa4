"""A tzdata release that changes a zone, met by the shipped command: refused, or accepted and told.

The changed release is a copy of the real package with the rules of one zone under another's name.
"""

import importlib.resources
import os
import shutil
import signal
from pathlib import Path

import httpx2

from commands import COMMAND, call, development, free_port, program

ZONE = "Europe/Berlin"


def changed_release(folder: Path) -> str:
    """Make the next tzdata release, in which Berlin has moved to the clock of London."""
    real = importlib.resources.files("tzdata")
    copy = folder / "tzdata"
    with importlib.resources.as_file(real) as source:
        shutil.copytree(source, copy)
    shutil.copy(copy / "zoneinfo" / "Europe" / "London", copy / "zoneinfo" / ZONE)
    text = (copy / "__init__.py").read_text()
    (copy / "__init__.py").write_text(text + '\nIANA_VERSION = "2099z"\n')
    return str(folder)


async def test_a_release_that_changes_a_zone_is_refused_until_it_is_accepted(
    dsn: str, tmp_path: Path
) -> None:
    port = free_port()
    env = development(dsn, port, drift_max="0", log_format="json")
    job = {
        "name": "berlin",
        "schedule": {"cron": "0 9 * * *", "timezone": ZONE},
        "target": {"url": "http://127.0.0.1:9/"},
    }
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            before = (await http.put("/jobs/berlin", json=job)).json()
        running.tell(signal.SIGTERM)
        assert await running.end() == 0

    changed = env | {
        "PYTHONPATH": os.pathsep.join([changed_release(tmp_path), os.environ.get("PYTHONPATH", "")])
    }
    code, told = await call("serve", env=changed)
    assert code == 2
    for word in ("1 job(s) would move", "tzdata 2099z", before["id"], "--accept-drift"):
        assert word in told

    async with program(*COMMAND, "serve", "--accept-drift", env=changed) as running:
        moved = await running.line("job.moved")
        assert before["next_fire_at"] in moved
        await running.line("API ")
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            after = (await http.get("/jobs/berlin")).json()
        assert after["next_fire_at"] != before["next_fire_at"]
        assert after["next_fire_at"] in moved
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
