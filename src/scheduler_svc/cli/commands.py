"""The commands as a list, in the order in which help shows them, and the parser made of it.

Each is imported when it is asked for: a question to a running service need not load a server.
"""

from argparse import ArgumentParser
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import version
from typing import Final, cast

from scheduler_svc.cli.command import Command

PROGRAM = "scheduler-svc"
COMMANDS: Final = {
    "serve": "serve.COMMAND",
    "migrate": "migrate.COMMAND",
    "keys": "keys.COMMAND",
    "audit": "audit.COMMAND",
    "check-config": "check_config.COMMAND",
    "doctor": "doctor.command.COMMAND",
    "receive": "receive.COMMAND",
    "release": "release.COMMAND",
    "reseal": "reseal.COMMAND",
    "rotate-identity-key": "rotate_identity_key.COMMAND",
    "jobs": "remote.jobs.COMMAND",
    "runs": "remote.runs.COMMAND",
    "apply": "remote.apply.COMMAND",
    "export": "remote.export.COMMAND",
    "simulate": "simulate.command.COMMAND",
    "preview": "remote.schedules.PREVIEW",
    "forecast": "remote.schedules.FORECAST",
    "import": "imports.command.COMMAND",
    "completion": "completion.COMMAND",
}
"""Where each command is."""
EPILOG = """\
jobs, runs, apply, export, preview and forecast ask a running service: SCHEDULER_URL, SCHEDULER_KEY.
The others are set by the environment: docs/operations.md lists the settings, check-config tries
them.
`scheduler-svc COMMAND --help` says what a command takes."""


def parser(names: Iterable[str] = COMMANDS) -> ArgumentParser:
    """Make the parser of these commands, by default of all."""
    top = ArgumentParser(
        prog=PROGRAM,
        description="Calls HTTP targets on a schedule, durably, on nothing but PostgreSQL.",
        epilog=EPILOG.replace("\n", " "),
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {version(PROGRAM)}")
    parsers = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in names:
        command = found(name)
        sub = parsers.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            allow_abbrev=False,
        )
        command.switches(sub)
        sub.set_defaults(run=command.run)
    help_parser = parsers.add_parser("help", help="show this, or what one command takes")
    help_parser.add_argument("topic", nargs="?", choices=list(COMMANDS))
    return top


def found(name: str) -> Command:
    """Import one command."""
    module, _, constant = COMMANDS[name].rpartition(".")
    return cast("Command", getattr(import_module(f"scheduler_svc.cli.{module}"), constant))
