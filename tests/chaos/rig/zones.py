"""Zone data of another version for one replica: a copy of the package under another name of its
release, some zones of which may have other rules. It is laid over the package by the path.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import tzdata  # type: ignore[import-untyped]

OTHER_VERSION = "1999z"
MOVED_ZONE, ITS_RULES = "Asia/Tehran", "Asia/Dubai"
"""Half an hour apart: what fires at half past for one fires at the full hour for the other."""


def laid_over(folder: Path, *, moved: bool) -> Mapping[str, str]:
    """Make such a copy; return the variables that make a replica use it."""
    if not folder.exists():
        source = Path(tzdata.__file__).parent
        shutil.copytree(source, folder / "tzdata", ignore=shutil.ignore_patterns("__pycache__"))
        init = folder / "tzdata" / "__init__.py"
        init.write_text(init.read_text().replace(tzdata.IANA_VERSION, OTHER_VERSION))
        if moved:
            rules = folder / "tzdata" / "zoneinfo"
            shutil.copyfile(rules / ITS_RULES, rules / MOVED_ZONE)
    return {"PYTHONPATH": str(folder)}
