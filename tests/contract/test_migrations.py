"""Migrations are safe under load: squawk's rules hold, and what is excepted says why.

A rule that is excepted for a file is one that was weighed for that file; a new file begins with
none.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from scheduler_svc.store.migration_files import Migration, shipped

ROOT = Path(__file__).parents[2]
SQUAWK = Path(sys.executable).with_name("squawk")
FIRST_JUDGED = 12
"""From this file on each says which builds can go on beside it."""

EVERYWHERE = {
    "prefer-robust-stmts": "a file is one transaction, or begun again by its runner",
    "require-lock-timeout": "the runner sets one on its session",
    "require-statement-timeout": "an index may take long to build; what waits for locks may not",
    "prefer-bigint-over-int": "counters of one job or one limit, which no code lets grow so far",
    "prefer-bigint-over-smallint": "the same: attempts, priorities, statuses",
}
BY_MODE = {
    "by partition": {
        "require-concurrent-index-creation": "the runner makes it concurrently, day by day"
    },
}
BEFORE_LOAD = "released with 0.1.0 or before it ran anywhere under load; it can not be edited"
BY_FILE = {
    "0002_delete_after_completion.sql": {"require-concurrent-index-creation": BEFORE_LOAD},
    "0003_expectations.sql": {"require-concurrent-index-creation": BEFORE_LOAD},
    "0004_backfills.sql": {"require-concurrent-index-creation": BEFORE_LOAD},
    "0010_pressure.sql": {
        "require-concurrent-index-creation": BEFORE_LOAD,
        "require-concurrent-index-deletion": BEFORE_LOAD,
    },
    "0011_completion_alerts.sql": {
        "require-concurrent-index-creation": BEFORE_LOAD,
        "ban-drop-constraint": "two checks that become wider, so nothing relies on the narrow ones",
    },
    "0013_holds.sql": {
        "ban-drop-constraint": "a timer that is parked has an occurrence and no instant to fire at",
    },
}


def _squawk(path: Path, excepted: set[str], *, transaction: bool) -> str:
    """Return what squawk says of a file; nothing where all is well."""
    order = [str(SQUAWK), "--pg-version", "15", "--reporter", "gcc"]
    order += ["--assume-in-transaction"] if transaction else []
    order += [f"--exclude={','.join(sorted(excepted))}", str(path)]
    done = subprocess.run(order, capture_output=True, text=True, check=False, timeout=30)
    return "" if done.returncode == 0 else done.stdout + done.stderr


needs_squawk = pytest.mark.skipif(
    not SQUAWK.exists(), reason="squawk-cli has no wheel for this platform"
)


@needs_squawk
@pytest.mark.parametrize("one", shipped(), ids=lambda one: one.name)
def test_no_statement_is_unsafe_under_load(one: Migration) -> None:
    excepted = EVERYWHERE | BY_MODE.get(one.mode, {}) | BY_FILE.get(one.name, {})
    told = _squawk(
        ROOT / "migrations" / one.name, set(excepted), transaction=one.mode == "transaction"
    )
    assert told == ""


@needs_squawk
@pytest.mark.parametrize(
    ("name", "rule"), [(name, rule) for name, rules in BY_FILE.items() for rule in rules]
)
def test_each_exception_is_still_needed(name: str, rule: str) -> None:
    others = set(EVERYWHERE) | set(BY_FILE[name]) - {rule}
    assert rule in _squawk(ROOT / "migrations" / name, others, transaction=True)


@needs_squawk
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX runs_x ON runs (job_name);",
        "ALTER TABLE runs ADD COLUMN x text NOT NULL;",
        "ALTER TABLE jobs ALTER COLUMN revision TYPE bigint;",
        "ALTER TABLE jobs DROP COLUMN description;",
        "ALTER TABLE jobs ADD CONSTRAINT x CHECK (revision > 0);",
        "ALTER TABLE jobs RENAME COLUMN name TO title;",
    ],
)
def test_what_would_stop_the_traffic_is_found(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "0099_unsafe.sql"
    path.write_text(sql)
    assert "0099_unsafe.sql" in _squawk(path, set(EVERYWHERE), transaction=True)


def test_each_new_file_says_which_builds_can_go_on_beside_it() -> None:
    silent = [one.name for one in shipped() if one.compatible_from is None]
    assert [name for name in silent if int(name[:4]) >= FIRST_JUDGED] == []
