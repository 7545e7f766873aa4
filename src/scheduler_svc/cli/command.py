"""What a command is: its name, what it says of itself, its switches, and what it does."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import NamedTuple

OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


class Command(NamedTuple):
    """One command; `run` gets the read arguments and returns the exit code."""

    name: str
    summary: str
    switches: Callable[[ArgumentParser], None]
    run: Callable[[Namespace], int]


def no_switches(_parser: ArgumentParser) -> None:
    """Add nothing."""
