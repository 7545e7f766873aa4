"""One call of the command line, from arguments to exit code.

Promises that a mistake is answered with a sentence and never with a traceback, and that an
interrupt (Ctrl-C) and a reader who has gone (`| head`) end it quietly.
"""

import os
import sys
from collections.abc import Sequence

from scheduler_svc.cli import completion
from scheduler_svc.cli.command import FAILED, INTERRUPTED, OK, REFUSED
from scheduler_svc.cli.commands import COMMANDS, parser
from scheduler_svc.settings import SettingsRefused


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments ask; argparse itself leaves with 2 where it cannot read them."""
    if completion.is_asked():
        completion.answer(parser())
    top = parser(arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS)
    given = top.parse_args(arguments)
    if given.command == "help":
        return run([given.topic, "--help"]) if given.topic else _help(top.format_help())
    if given.command is None:
        sys.stderr.write(top.format_help())
        return REFUSED
    try:
        return int(given.run(given))
    except SettingsRefused as refused:
        print(f"scheduler-svc: {refused}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has no reader; without this the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _help(text: str) -> int:
    sys.stdout.write(text)
    return OK
