"""`doctor`: looks at settings, database and surroundings, and says what is wrong and what to do."""

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from scheduler_svc.cli.command import OK, Command
from scheduler_svc.cli.doctor import configuration
from scheduler_svc.cli.doctor.checks import Report, examine
from scheduler_svc.cli.doctor.finding import Surroundings
from scheduler_svc.cli.doctor.report import as_json, as_text
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.settings import Settings, SettingsRefused
from scheduler_svc.store import embedded

WARNINGS, FAULTS = 1, 2
CODES = {"ok": OK, "warnings": WARNINGS, "faults": FAULTS}


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="URL",
        help="a target to resolve, dial and shake hands with (repeatable); nothing is sent",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="tell of transactions that are open for longer (300)",
    )


def _run(given: Namespace) -> int:
    """Look at everything; 0 where all is well, 1 with warnings, 2 with faults."""
    try:
        settings = settings_with()
    except SettingsRefused as refused:
        report = Report(["settings"], ["everything else"], configuration.refused(refused))
    else:
        around = Surroundings(
            settings=settings,
            environ=dict(os.environ),
            dsn=_dsn(settings),
            targets=tuple(given.target),
            patience=given.patience,
        )
        report = asyncio.run(examine(around))
    print(as_json(report) if given.json else as_text(report))
    sys.stdout.flush()
    return CODES[report.status]


def _dsn(settings: Settings) -> str | None:
    """Find the database without starting one."""
    if settings.database_url is not None:
        return settings.database_url
    return embedded.running(Path(settings.data_dir) / "postgres")


COMMAND = Command("doctor", "look for what is wrong, and say what to do", _switches, _run)
