"""Limits that a simulation is held to: what was allowed, what was found."""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

from msgspec import Struct

from scheduler_svc.cli.simulate.report import Report


class Limit(Struct, frozen=True, kw_only=True):
    """One limit, and whether it holds."""

    limit: str
    allowed: int
    found: int
    exceeded: bool


NAMES = {
    "max-per-minute": "runs sent in any one minute",
    "max-per-minute-host": "runs sent to one host in any one minute",
    "max-in-flight": "runs under way at once",
    "max-overlaps": "occurrences that meet an unfinished run of their job",
    "max-misfires": "occurrences that come too late",
}


def add_limits(parser: ArgumentParser) -> None:
    """Add the switches."""
    group = parser.add_argument_group("limits: leave with 5 where more than so many are found")
    for name, meaning in NAMES.items():
        group.add_argument(f"--{name}", type=int, metavar="N", help=meaning)


def judged(given: Namespace, report: Report) -> Iterator[Limit]:
    """Hold what was found against what is allowed."""
    found = {
        "max-per-minute": report.per_minute.peak.count,
        "max-per-minute-host": max((host.peak.count for host in report.hosts), default=0),
        "max-in-flight": report.in_flight.count,
        "max-overlaps": sum(one.count for one in report.overlaps),
        "max-misfires": sum(one.count for one in report.misfires),
    }
    for name, count in found.items():
        allowed = getattr(given, name.replace("-", "_"))
        if allowed is not None:
            yield Limit(limit=name, allowed=allowed, found=count, exceeded=count > allowed)
