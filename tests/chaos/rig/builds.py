"""The build before this one, out of the history: the last release, or what was before the newest
migration. Its source is unpacked and run with the packages that are installed here.
"""

import io
import subprocess
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from commands import call

ROOT = Path(__file__).parents[3]


@cache
def commit_before() -> str | None:
    """Name the commit of the last release, else the one before the newest migration; or None."""
    if tag := _git("describe", "--tags", "--abbrev=0", "--match", "v*"):
        return tag
    newest = max((ROOT / "migrations").glob("*.sql")).relative_to(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest))
    if not added or not (before := _git("rev-parse", "--verify", "--quiet", f"{added}^1")):
        return None
    return before


def unpacked(folder: Path) -> Mapping[str, str]:
    """Unpack its source into a folder; return the variables that make a replica one of it."""
    commit = commit_before()
    assert commit is not None
    packed = subprocess.run(
        ["git", "archive", commit, "src", "migrations", "pyproject.toml"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return {"PYTHONPATH": str(folder / "src")}


async def migrated(dsn: str, environment: Mapping[str, str]) -> None:
    """Bring a database to the schema of a build, by its own command."""
    code, said = await call("migrate", env={"DATABASE_URL": dsn} | dict(environment))
    assert code == 0, said


def _git(*arguments: str) -> str:
    try:
        said = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except FileNotFoundError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
