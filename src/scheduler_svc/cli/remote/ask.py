"""How every command that asks the service ends: what it prints, and with which exit code."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any, NamedTuple

from scheduler_svc.cli.command import FAILED, OK, REFUSED, Command
from scheduler_svc.cli.remote.connection import (
    Misused,
    Refused,
    Remote,
    Unreachable,
    add_place,
    remote_of,
)

UNREACHABLE = 3
NOT_FOUND, NOT_FOUND_STATUS = 4, 404
Do = Callable[[Remote, Namespace], int | None]


class Verb(NamedTuple):
    """One thing to do to a noun: `do` asks and prints, and may return an exit code."""

    name: str
    summary: str
    switches: Callable[[ArgumentParser], None]
    do: Do


def noun(name: str, summary: str, verbs: tuple[Verb, ...]) -> Command:
    """Make a command of verbs, like `jobs list`."""

    def switches(parser: ArgumentParser) -> None:
        known = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
        for verb in verbs:
            sub = known.add_parser(
                verb.name, help=verb.summary, description=f"{verb.summary}.", allow_abbrev=False
            )
            verb.switches(sub)
            add_place(sub)
            sub.set_defaults(do=verb.do)

    return Command(name, summary, switches, run)


def single(name: str, summary: str, switches: Callable[[ArgumentParser], None], do: Do) -> Command:
    """Make a command without verbs, like `preview`."""

    def all_switches(parser: ArgumentParser) -> None:
        switches(parser)
        add_place(parser)
        parser.set_defaults(do=do)

    return Command(name, summary, all_switches, run)


def run(given: Namespace) -> int:
    """Do it; a refusal of the service is shown with every fault that it names."""
    try:
        return given.do(remote_of(given), given) or OK
    except Misused as misused:
        return _failed(str(misused), REFUSED)
    except Unreachable as away:
        return _failed(str(away), UNREACHABLE)
    except Refused as refused:
        if given.json:
            print(json.dumps(refused.problem), file=sys.stderr)
        else:
            _failed(str(refused), FAILED)
            for fault in refused.problem.get("errors", ()):
                where = fault.get("place") or fault.get("pointer") or fault.get("parameter") or ""
                print(f"  {where}: {fault.get('detail')}", file=sys.stderr)
        return NOT_FOUND if refused.status == NOT_FOUND_STATUS else FAILED


def _failed(text: str, code: int) -> int:
    print(f"scheduler-svc: {text}", file=sys.stderr)
    return code


def show_json(value: Any) -> None:
    """Print what the service answered, as it is."""
    print(json.dumps(value, indent=2, ensure_ascii=False))
