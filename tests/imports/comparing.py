"""Comparing an imported job with what its system did: the instants of two years, and the report.

A difference in instants must be one that the report tells of, where it tells of it; and the report
tells of none that is not there.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from imports.wall import DAY, FROM, TO, changes
from scheduler_svc.cli.imports.command import imported
from scheduler_svc.domain.imports.draft import Draft, Options
from scheduler_svc.domain.imports.expression import ANY_JOB
from scheduler_svc.domain.occurrences import compile_schedule, next_after
from scheduler_svc.domain.schedule import Schedule

FILES = Path(__file__).parent / "files"
TARGET = "https://runner.example.com/run/{name}"
NIGHT = 3 * 3600
LONG_AFTER = 62 * DAY
OFTEN = 40_000
ALL = ((int(FROM.timestamp()), int(TO.timestamp())),)
OF_TIME = {"dst_gap", "dst_overlap", "random", "anchor"}
LOUD = {"differs", "decision"}


def options(**more: Any) -> Options:
    return Options(**{"now": FROM, "target": TARGET, **more})


@cache
def of_file(dialect: str, name: str, **more: Any) -> list[Draft]:
    """Import a file of ours; nobody changes what comes back."""
    return imported(dialect, [str(FILES / name)], options(**more))


def by_name(drafts: Sequence[Draft]) -> Mapping[str, Draft]:
    return {str(draft.name): draft for draft in drafts}


def ours(draft: Draft, spans: Sequence[tuple[int, int]] = ALL) -> list[int]:
    """List the instants of two years in seconds, as the engine would have them."""
    schedule = msgspec.convert(dict(draft.schedule), Schedule)
    timetable = compile_schedule(schedule, job_id=ANY_JOB, created_at=FROM)
    found: list[int] = []
    for low, high in spans:
        at = low * 1000 - 1
        while (following := next_after(timetable, at)) is not None and following < high * 1000:
            found.append(following // 1000)
            at = following
    return found


def spans_of(draft: Draft, theirs: Sequence[int]) -> Sequence[tuple[int, int]]:
    """The whole two years; of what occurs very often, the days around each change of the clock."""
    if len(theirs) < OFTEN:
        return ALL
    zone = draft.schedule.get("timezone", "UTC")
    nights = [changes(zone, forward=forward) for forward in (True, False)]
    edges = [ALL[0][0], *sorted(at for each in nights for at in each if at < ALL[0][1])]
    return [(at - DAY if at in edges[1:] else at, at + 2 * DAY) for at in edges]


def said(draft: Draft, code: str) -> set[str]:
    return {one.severity for one in draft.findings if one.code == code}


def compare(draft: Draft, theirs: Sequence[int]) -> None:
    """Hold what the job names against what the system did, and both against the report."""
    assert draft.written, draft.findings
    spans = spans_of(draft, theirs)
    mine = ours(draft, spans)
    theirs = [at for at in theirs if any(low <= at < high for low, high in spans)]
    loud = [one for one in draft.findings if one.severity in LOUD and one.code in OF_TIME]
    if theirs == mine:
        assert [one for one in loud if one.severity == "differs"] == [], (draft.source, loud)
        return
    end = ALL[0][1]
    first = next(min(a, b) for a, b in zip([*theirs, end], [*mine, end], strict=False) if a != b)
    assert explained(draft, first, loud), (draft.source, when(first), draft.findings)


def explained(draft: Draft, at: int, loud: Sequence[Any]) -> bool:
    """Does a finding tell of a difference there? Of a night, it must name when it shows."""
    zone = draft.schedule.get("timezone", "UTC")
    for one in loud:
        if one.code in {"random", "anchor"}:
            return True
        named = int(one.at.timestamp())
        nights = changes(zone, forward=one.code == "dst_gap")
        assert any(0 <= named - night <= LONG_AFTER for night in nights), (draft.source, one)
        if abs(at - named) <= NIGHT:
            return True
    return False


def when(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
