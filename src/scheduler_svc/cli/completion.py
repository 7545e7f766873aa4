"""`completion`: a script by which a shell asks this program what may follow.

A shell reads it at its start; each Tab then calls the program, which answers and does nothing.
"""

import os
from argparse import ArgumentParser, Namespace

import argcomplete
from argcomplete.shell_integration import shellcode

from scheduler_svc.cli.command import OK, Command

SHELLS = ("bash", "zsh", "tcsh", "fish")
ASKED = "_ARGCOMPLETE"
"""Set by the shell where it asks."""


def is_asked() -> bool:
    """Tell whether a shell asks what may follow."""
    return ASKED in os.environ


def answer(parser: ArgumentParser) -> None:
    """Tell the shell, and leave."""
    argcomplete.autocomplete(parser)


def _switches(parser: ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


def _run(given: Namespace) -> int:
    print(shellcode(["scheduler-svc"], shell=given.shell))
    return OK


COMMAND = Command("completion", "print what makes a shell complete these commands", _switches, _run)
