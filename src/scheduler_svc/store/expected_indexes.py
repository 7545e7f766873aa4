"""Which indexes the migrations of this build leave behind, read from their text.

Promises the statement that makes each again. Knows only the forms in which our migrations write.
"""

import re
from functools import cache

from scheduler_svc.store import migrate

_STEP = re.compile(
    r"CREATE (?P<unique>UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?(?P<made>\w+)\s+ON"
    r"\s+(?:ONLY )?(?P<table>\w+)(?P<rest>[^;]*);"
    r"|DROP INDEX (?:CONCURRENTLY )?(?:IF EXISTS )?(?P<dropped>\w+)\s*;"
    r"|ALTER INDEX (?:IF EXISTS )?(?P<old>\w+) RENAME TO (?P<new>\w+)\s*;",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*")
PARTITIONED = "runs"


@cache
def expected_indexes() -> dict[str, str]:
    """Return the names of the indexes, each with the statement that makes it."""
    found: dict[str, str] = {}
    for one in migrate.shipped():
        for step in _STEP.finditer(_COMMENT.sub("", one.sql)):
            if step["dropped"]:
                found.pop(step["dropped"], None)
            elif step["old"]:
                found[step["new"]] = found.pop(step["old"], "")
            else:
                found[step["made"]] = _statement(step)
    return found


def _statement(step: "re.Match[str]") -> str:
    """Write it so that it locks nobody out, where PostgreSQL can."""
    how = "" if step["table"] == PARTITIONED else "CONCURRENTLY "
    rest = " ".join(step["rest"].split())
    return f"CREATE {step['unique'] or ''}INDEX {how}{step['made']} ON {step['table']} {rest};"
