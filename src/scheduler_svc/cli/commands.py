"""The commands as a list, in the order in which help shows them, and the parser made of it."""

from argparse import ArgumentParser
from importlib.metadata import version

from scheduler_svc.cli import (
    audit,
    check_config,
    keys,
    migrate,
    receive,
    reseal,
    rotate_identity_key,
    serve,
)
from scheduler_svc.cli.command import Command

PROGRAM = "scheduler-svc"
COMMANDS: tuple[Command, ...] = (
    serve.COMMAND,
    migrate.COMMAND,
    keys.COMMAND,
    audit.COMMAND,
    check_config.COMMAND,
    receive.COMMAND,
    reseal.COMMAND,
    rotate_identity_key.COMMAND,
)
EPILOG = """\
Settings come from the environment: docs/operations.md lists them, check-config tries them.
`scheduler-svc COMMAND --help` says what a command takes."""


def parser() -> ArgumentParser:
    """Make the parser of the whole command line."""
    top = ArgumentParser(
        prog=PROGRAM,
        description="Calls HTTP targets on a schedule, durably, on nothing but PostgreSQL.",
        epilog=EPILOG.replace("\n", " "),
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"{PROGRAM} {version(PROGRAM)}")
    parsers = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in COMMANDS:
        sub = parsers.add_parser(
            command.name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            allow_abbrev=False,
        )
        command.switches(sub)
        sub.set_defaults(run=command.run)
    help_parser = parsers.add_parser("help", help="show this, or what one command takes")
    help_parser.add_argument("topic", nargs="?", choices=[command.name for command in COMMANDS])
    return top
