"""What is said of an imported definition: one finding a difference, or a sameness worth knowing.

Promises that each finding has a code of the table below, which the documentation lists too.
"""

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

Severity = Literal["same", "differs", "decision", "not_importable"]
SEVERITIES: Final[tuple[Severity, ...]] = ("same", "differs", "decision", "not_importable")
"""From harmless to hopeless: a definition is as bad as its worst finding."""

CODES: Final = {
    "anchor": "where an interval counts from",
    "day_rule": "what both day fields mean together",
    "dst_gap": "times that a clock change leaves out",
    "dst_overlap": "times that a clock change repeats",
    "dst_search": "what a library's search does to other times around a clock change",
    "end": "when it stops, and what becomes of it then",
    "environment": "variables, users and what else surrounds a command",
    "history": "what is kept of old runs",
    "missed": "what becomes of times that were missed",
    "name": "what it is called here",
    "order": "jobs that follow other jobs",
    "output": "where output goes, and who is told of failures",
    "overlap": "what happens while the one before still runs",
    "payload": "what is sent",
    "random": "values drawn at random",
    "reboot": "runs at the start of a machine",
    "resolution": "how fine a schedule is",
    "response": "which answers count as success",
    "retry": "attempts after a failure",
    "shape": "a definition that is not as it should be",
    "spread": "delays that spread load",
    "suspended": "definitions that are switched off",
    "syntax": "expressions that cannot be meant",
    "target": "what is called",
    "timeout": "how long a run may take",
    "timezone": "the zone of wall-clock times",
    "weekday_numbers": "numbers of weekdays",
    "year": "years in expressions",
}


class Finding(Struct, frozen=True):
    """One thing to know; `at` is when it shows next, where that is an instant."""

    code: str
    severity: Severity
    detail: str
    at: datetime | None = None


class Unfit(Exception):
    """A definition that cannot be a job; carries the finding that says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.finding = Finding(code, "not_importable", detail)


def worst(findings: list[Finding]) -> Severity:
    """Return how bad the worst of them is; nothing said is `same`."""
    return max((one.severity for one in findings), key=SEVERITIES.index, default="same")
