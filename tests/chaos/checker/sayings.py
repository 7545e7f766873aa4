"""Judges what the driver noted beside calls and records: who believed a former primary, and whether
replicas of other zone data said so.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos.checker.evidence import Finding

STAY_MS = 2000.0
"""So long a session may be at a former primary until it has seen what that is."""
Note = dict[str, Any]


def read_notes(folder: Path) -> list[Note]:
    """Read the driver's history."""
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def judge_former(notes: list[Note]) -> Iterator[Finding]:
    """Nobody writes to a former primary, and no session stays with it."""
    gone = [note for note in notes if note["kind"] == "former" and note["state"] == "gone"]
    if not gone:
        yield Finding("not shown", "the former primary never came back")
    for note in gone:
        if note["written"]:
            yield Finding("believed", f"{note['written']} rows were written to a former primary")
    ages: dict[int, float] = {}
    for note in (one for one in notes if one["kind"] == "guest"):
        ages[note["pid"]] = max(ages.get(note["pid"], 0.0), note["age_ms"])
    stayed = [ms for ms in ages.values() if ms > STAY_MS]
    if stayed:
        why = f"{len(stayed)} sessions stayed with a former primary, {max(stayed):.0f} ms"
        yield Finding("believed", why)


def judge_zones(notes: list[Note]) -> Iterator[Finding]:
    """Each replica names its zone data, the doctor that there are two, and one that would move
    many jobs says so and does not start.
    """
    named = {note["tzdata"] for note in notes if note["kind"] == "zones"}
    if len(named) < 2:
        yield Finding("silent", f"replicas of two kinds of zone data name {sorted(named)}")
    if not any(note["kind"] == "doctor" and note["mixed"] for note in notes):
        yield Finding("silent", "the doctor saw nothing")
    if not any(note["kind"] == "zone refusal" and note["told"] for note in notes):
        yield Finding("silent", "one that would move many jobs started, or did not say why not")
