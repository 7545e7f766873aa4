"""The two nights a year: how a system treats them, and which of our settings is the same.

Promises to set `dst_gap` and `dst_overlap` so that a job goes on as it did where that can be, and
to say when it will not, with the next instant at which that shows.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final, Literal, NamedTuple

from scheduler_svc.domain.cron import compile_cron
from scheduler_svc.domain.cron_pattern import Pattern
from scheduler_svc.domain.dst import CORRECTION
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.imports.draft import Draft
from scheduler_svc.domain.imports.expression import ANY_JOB
from scheduler_svc.domain.zones import Change, zone

AHEAD: Final = 2 * 366 * 86_400
"""How far ahead changes of the clock are looked at, in seconds: both kinds, twice."""
Nights = Literal["cron", "elapsed", "once", "unpublished"]
"""`cron`: Debian's rule. `elapsed`: nothing in a gap, both passes (robfig/cron). `once`: nothing in
a gap, the first pass (EventBridge). `unpublished`: nobody says."""


class Gap(NamedTuple):
    """What an expression names within a gap: the first in local seconds, and how many."""

    change: Change
    first: int
    times: int
    met: bool
    """The first instant after the gap is one of the expression's too."""


def settle(draft: Draft, nights: Nights, system: str) -> None:
    """Set the two policies of a cron schedule, and say what they come to."""
    named = draft.schedule["cron"]
    texts = [named] if isinstance(named, str) else named
    patterns = [compile_cron(text, ANY_JOB) for text in texts]
    place = draft.schedule.get("timezone", "UTC")
    if place == "UTC":
        return
    gaps = [gap for pattern in patterns for gap in _gaps(pattern, place, draft.options.now)]
    overlaps = [at for pattern in patterns for at in overlaps_of(pattern, place, draft.options.now)]
    gaps.sort(key=lambda gap: gap.change.at)
    match nights:
        case "cron":
            _as_cron(draft, gaps, patterns)
        case "elapsed":
            draft.schedule.update(dst_gap="skip", dst_overlap="both")
            _say_same(draft, system, gaps, overlaps, passes="twice")
        case "once":
            draft.schedule.update(dst_gap="skip", dst_overlap="first")
            _say_same(draft, system, gaps, overlaps, passes="in its first pass")
        case "unpublished":
            _as_nobody_says(draft, system, gaps, overlaps)


def midnight_gap(place: str, now: datetime) -> datetime | None:
    """Return the next instant at which a clock skips a midnight."""
    for change in changes_ahead(place, now):
        low, high = change.at + change.before, change.at + change.after
        if low < high and -(-low // 86_400) * 86_400 < high:
            return instant_at(change.at * 1000)
    return None


def changes_ahead(place: str, now: datetime) -> Iterator[Change]:
    """Yield the changes of a zone's clock in the coming two years."""
    since = epoch_ms(now) // 1000
    yield from zone(place).changes(since, since + AHEAD)


def _gaps(pattern: Pattern, place: str, now: datetime) -> Iterator[Gap]:
    for change in changes_ahead(place, now):
        low, high = change.at + change.before, change.at + change.after
        if low < high and (count := pattern.count(low, high)):
            met = pattern.next_from(high) == high
            yield Gap(change, pattern.next_from(low) or low, count, met)


def overlaps_of(pattern: Pattern, place: str, now: datetime) -> Iterator[datetime]:
    """Yield the changes that repeat a time of an expression."""
    for change in changes_ahead(place, now):
        low, high = change.at + change.after, change.at + change.before
        if low < high and pattern.count(low, high):
            yield instant_at(change.at * 1000)


def _say_same(
    draft: Draft, system: str, gaps: list[Gap], overlaps: list[datetime], *, passes: str
) -> None:
    if gaps:
        at = instant_at(gaps[0].change.at * 1000)
        draft.same("dst_gap", f"a time that the clock leaves out is skipped, as in {system}", at)
    if overlaps:
        draft.same("dst_overlap", f"a repeated time runs {passes}, as in {system}", min(overlaps))


def _as_cron(draft: Draft, gaps: list[Gap], patterns: list[Pattern]) -> None:
    """Leave `auto`, which is this rule; only runs that fall together in a gap are fewer here."""
    if all(pattern.wildcard for pattern in patterns):
        return
    several = [gap for gap in gaps if gap.times + gap.met > 1 and _shift(gap) < CORRECTION]
    if several:
        gap = several[0]
        draft.differs(
            "dst_gap",
            f"{gap.times + gap.met} times fall together when the clock goes forward: cron runs each"
            " right after, here they are one run",
            instant_at(gap.change.at * 1000),
        )


def _as_nobody_says(draft: Draft, system: str, gaps: list[Gap], overlaps: list[datetime]) -> None:
    if gaps:
        draft.decide(
            "dst_gap",
            f"{system} does not publish what it does at a time that the clock leaves out; here"
            " dst_gap auto: a fixed time runs right after, 'skip' drops it",
            instant_at(gaps[0].change.at * 1000),
        )
    if overlaps:
        draft.decide(
            "dst_overlap",
            f"{system} does not publish what it does at a time that the clock repeats; here"
            " dst_overlap auto: a fixed time runs once",
            min(overlaps),
        )


def _shift(gap: Gap) -> int:
    return gap.change.after - gap.change.before
