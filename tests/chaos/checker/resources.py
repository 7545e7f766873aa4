"""Judges whether what a soak used is given back: memory, descriptors, connections, rows, queue.

The last minute is held against a minute of quiet before the first fault; replicas that came anew
meanwhile count as the ones whose place they took.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from chaos.checker.evidence import Finding

ALLOWED = 1.1
WARM_SECONDS, QUIET_SECONDS = 30.0, 60.0
SLACK = {"rss": 4e6, "descriptors": 4, "connections": 2, "dead": 2000, "unfinished": 20}
"""So much more is noise: an arena, a socket, what autovacuum has not come to yet."""


@dataclass(frozen=True)
class Use:
    """What one measure was at the beginning and is at the end."""

    name: str
    before: float
    after: float

    @property
    def back(self) -> bool:
        return self.after <= self.before * ALLOWED + SLACK[self.name]

    def __str__(self) -> str:
        return f"{self.name} {self.before:.0f} -> {self.after:.0f}"


def read_uses(folder: Path) -> list[Use]:
    """Read what was measured, as medians over all replicas."""
    notes = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    used = [note for note in notes if note["kind"] == "used"]
    if not used:
        return []
    begin = used[0]["at"] + WARM_SECONDS * 1000
    first = min((n["at"] for n in notes if n["kind"] == "fault"), default=float("inf"))
    low = min(first, begin + QUIET_SECONDS * 1000)
    before = [note for note in used if begin <= note["at"] < low]
    after = [note for note in used if note["at"] > used[-1]["at"] - QUIET_SECONDS * 1000]
    return [Use(name, _median(before, name), _median(after, name)) for name in SLACK]


def _median(notes: list[dict[str, Any]], name: str) -> float:
    found = [
        float(value)
        for note in notes
        for value in (note[name] if isinstance(note[name], list) else [note[name]])
    ]
    return median(found) if found else 0.0


def judge_resources(uses: list[Use]) -> Iterator[Finding]:
    """Find what was not given back."""
    for use in uses:
        if not use.back:
            yield Finding("not given back", str(use))
