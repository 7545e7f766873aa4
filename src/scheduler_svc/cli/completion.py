"""`completion`: a script that lets a shell complete commands and switches."""

from argparse import ArgumentParser, Namespace

import shtab

from scheduler_svc.cli.command import OK, Command

SHELLS = ("bash", "zsh", "tcsh")


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def _run(given: Namespace) -> int:
    from scheduler_svc.cli.commands import parser  # noqa: PLC0415 - which has this one too

    print(shtab.complete(parser(), shell=given.shell))
    return OK


COMMAND = Command("completion", "print what makes a shell complete these commands", _switches, _run)
