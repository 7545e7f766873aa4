"""`migrate`: brings the database to the schema of this build, or says how far it is, or what it
would do.
"""

import asyncio
import sys
from argparse import ArgumentParser, Namespace

from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.environment import settings_with
from scheduler_svc.service.database import database
from scheduler_svc.store import migrate, migration_plan
from scheduler_svc.store.away import is_database_away
from scheduler_svc.store.embedded import EmbeddedRefused


def _switches(parser: ArgumentParser) -> None:
    changes_nothing = parser.add_mutually_exclusive_group()
    changes_nothing.add_argument(
        "--plan",
        action="store_true",
        help="change nothing; say what would be applied, how, and which locks it takes",
    )
    changes_nothing.add_argument(
        "--status", action="store_true", help="change nothing; list the files, applied or not"
    )


def _run(given: Namespace) -> int:
    """Migrate; exit code 1 where the database is away, or where --status finds files to come."""
    try:
        with database(settings_with()) as dsn:
            if given.plan:
                return asyncio.run(_plan(dsn))
            return asyncio.run(_status(dsn) if given.status else _migrate(dsn))
    except (migrate.MigrationRefused, EmbeddedRefused) as refused:
        print(f"scheduler-svc: {refused}", file=sys.stderr)
        return REFUSED
    except Exception as error:
        if not is_database_away(error):
            raise
        print(f"scheduler-svc: the database does not answer: {error}", file=sys.stderr)
        return FAILED


async def _migrate(dsn: str) -> int:
    names = await migrate.migrate(dsn)
    for name in names:
        print(f"applied {name}")
    if not names:
        print("nothing to apply")
    return OK


async def _plan(dsn: str) -> int:
    steps = migration_plan.plan(await migrate.missing(dsn))
    for step in steps:
        for line in step.lines():
            print(line)
    if not steps:
        print("nothing to apply")
    return OK


async def _status(dsn: str) -> int:
    rows = await migrate.status(dsn)
    for one, applied_at in rows:
        state = "to come" if applied_at is None else f"applied {applied_at:%Y-%m-%d %H:%M:%SZ}"
        print(f"{one.name}  {state}")
    return OK if all(applied_at for _, applied_at in rows) else FAILED


COMMAND = Command("migrate", "bring the database to the schema of this build", _switches, _run)
