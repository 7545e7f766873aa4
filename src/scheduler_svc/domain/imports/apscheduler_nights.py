"""The two nights a year of an APScheduler trigger: the nearest of our policies, and what is left.

Promises to compare with that scheduler's own search (`apscheduler_search`), one search over each
gap of the coming two years, and to name the first instant at which both differ.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.imports.apscheduler_search import next_fire
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.expression import ANY_JOB
from scheduler_svc.domain.imports.fields import Part
from scheduler_svc.domain.imports.nights import changes_ahead, overlaps_of
from scheduler_svc.domain.imports.shape import instant_text
from scheduler_svc.domain.occurrences import (
    Timetable,
    compile_schedule,
    next_after,
    previous_before_or_at,
)
from scheduler_svc.domain.schedule import Schedule

_POLICIES: Final = ("skip", "run_after")
_LOOKED_AT: Final = 2000
Searched: TypeAlias = dict[int, int | None]
"""What their search found from an instant on."""


class Crossing(NamedTuple):
    """One gap: the instants that we name from before it until theirs, and theirs."""

    ours: list[int]
    theirs: int | None

    @property
    def same(self) -> bool:
        return self.ours == ([] if self.theirs is None else [self.theirs])


def settle_nights(draft: Draft, parts: Mapping[str, Part]) -> None:
    """Set both policies of a trigger, and say what they come to."""
    place = draft.schedule.get("timezone", "UTC")
    if place == "UTC":
        return
    now = draft.options.now
    draft.schedule["dst_overlap"] = "both"
    overlaps = list(overlaps_of(compile_cron(draft.schedule["cron"], ANY_JOB), place, now))
    if overlaps:
        draft.same("dst_overlap", "a repeated time runs twice, as in APScheduler", min(overlaps))
    gaps = [one.at * 1000 for one in changes_ahead(place, now) if one.after > one.before]
    found: Searched = {}
    crossed = {policy: _cross(draft, parts, policy, gaps, found) for policy in _POLICIES}
    chosen = _nearest(crossed)
    draft.schedule["dst_gap"] = chosen
    odd = next((one for one in crossed[chosen] if not one.same), None)
    if odd is not None:
        _tell(draft, odd)
    elif any(skip != after for skip, after in zip(*crossed.values(), strict=True)):
        does = "not at all" if chosen == "skip" else "right after"
        draft.same("dst_gap", f"a time that the clock leaves out runs {does}, as in APScheduler")


def _nearest(crossed: Mapping[str, list[Crossing]]) -> str:
    """Choose the policy that is the same at more gaps; of two as good, the one that runs."""
    skip, after = (sum(one.same for one in crossed[policy]) for policy in _POLICIES)
    if crossed["skip"] == crossed["run_after"]:
        return "skip"
    return "run_after" if after >= skip else "skip"


def _cross(
    draft: Draft, parts: Mapping[str, Part], policy: str, gaps: Sequence[int], found: Searched
) -> list[Crossing]:
    wanted = {**draft.schedule, "dst_gap": policy}
    timetable = compile_schedule(
        msgspec.convert(wanted, Schedule), job_id=ANY_JOB, created_at=draft.options.now
    )
    place = draft.schedule.get("timezone", "UTC")
    crossings = []
    for gap in gaps:
        before = previous_before_or_at(timetable, gap - 1)
        since = epoch_ms(draft.options.now) if before is None else before
        if since not in found:
            at = next_fire(parts, place, instant_at(since))
            found[since] = None if at is None else epoch_ms(at)
        crossings.append(_crossing(timetable, gap, since, found[since]))
    return crossings


def _crossing(timetable: Timetable, gap: int, since: int, theirs: int | None) -> Crossing:
    """List what we name from the last instant before a gap until theirs."""
    until = gap + 1 if theirs is None else theirs
    ours: list[int] = []
    at = next_after(timetable, since)
    while at is not None and at <= until and len(ours) < _LOOKED_AT:
        ours.append(at)
        at = next_after(timetable, at)
    return Crossing(ours, theirs)


def _tell(draft: Draft, odd: Crossing) -> None:
    """Name the first instant that only one of both has."""
    theirs = [] if odd.theirs is None else [odd.theirs]
    lost = [at for at in odd.ours if at not in theirs]
    first = instant_at(min([*lost, *(at for at in theirs if at not in odd.ours)]))
    if lost and first == instant_at(lost[0]):
        there = (
            "does not run" if not theirs else f"goes on at {instant_text(instant_at(theirs[0]))}"
        )
        said = f"after the clock goes forward it runs at {instant_text(first)} here"
        draft.differs("dst_gap", f"{said}; APScheduler 3.11 leaves that out and {there}", first)
        return
    draft.differs(
        "dst_gap",
        f"after the clock goes forward APScheduler 3.11 runs it at {instant_text(first)}, as much"
        " later as the clock moved; here it does not run then",
        first,
    )
