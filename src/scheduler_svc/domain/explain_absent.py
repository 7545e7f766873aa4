"""Why an instant is no occurrence of a schedule: the rule that keeps it out, and the nearest ones.

Promises the most telling rule: an exclusion, `start` or `end`, a clock change, the spread; else
only that nothing names it.
"""

from contextlib import suppress

from msgspec import Struct

from scheduler_svc.domain import dst
from scheduler_svc.domain.cadence import CronCadence
from scheduler_svc.domain.clock_changes import local
from scheduler_svc.domain.cron_count import Ruled
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import (
    HORIZON,
    SearchTooLong,
    Timetable,
    fire_at,
    next_after,
    previous_before_or_at,
)
from scheduler_svc.domain.words import at_text
from scheduler_svc.domain.zones import Piece


class Absence(Struct, frozen=True):
    """Why nothing occurs at an instant."""

    reason: str
    detail: str


def absence(timetable: Timetable, at_ms: int) -> Absence:
    """Name the rule that keeps an instant from being an occurrence."""
    if not 0 <= at_ms <= HORIZON:
        return Absence("no_occurrence", "Schedules name instants from 1970 to 2199 only.")
    found = (
        _kept_out(timetable, at_ms) or _clock_change(timetable, at_ms) or _sent(timetable, at_ms)
    )
    if found is None:
        found = Absence("no_occurrence", "The schedule does not name this instant.")
    return Absence(found.reason, f"{found.detail} {_nearest(timetable, at_ms)}")


def _kept_out(timetable: Timetable, at_ms: int) -> Absence | None:
    """Find what narrows the schedule, where its rule would name the instant."""
    if timetable.cadence.last_until(at_ms) != at_ms:
        return None
    if at_ms < timetable.start:
        return Absence("start", f"The schedule starts at {at_text(timetable.start)}.")
    if at_ms >= timetable.end:
        return Absence("end", f"The schedule ends before {at_text(timetable.end)}.")
    if timetable.exclusion.block_around(at_ms) is not None:
        return Absence("excluded", f"The schedule excludes it: {_exclusion(timetable, at_ms)}.")
    return None


def _exclusion(timetable: Timetable, at_ms: int) -> str:
    """Name the entry of `exclude` that removes an instant."""
    expressions = iter(timetable.exclusion.patterns)
    zone = timetable.exclusion.zone
    wall = at_ms // 1000 + zone.offset_at(at_ms // 1000)
    for entry in timetable.schedule.exclude:
        if isinstance(entry, str):
            if next(expressions).matches(wall):
                return f"'{entry}' in {zone.name}"
        elif epoch_ms(entry.from_) <= at_ms < epoch_ms(entry.to):
            low, high = at_text(epoch_ms(entry.from_)), at_text(epoch_ms(entry.to))
            return f"the window from {low} to {high}"
    return "by an entry of `exclude`"


def _clock_change(timetable: Timetable, at_ms: int) -> Absence | None:
    """Find a local time that a clock change swallowed, or of which another pass counts."""
    cadence = timetable.cadence
    if not isinstance(cadence, CronCadence) or at_ms % 1000:
        return None
    second = at_ms // 1000
    piece = cadence.zone.piece_at(second)
    for one in cadence.expressions:
        if second < piece.start + (piece.offset - piece.before):
            if one.times.next_from(second + piece.before) == second + piece.before:
                return _in_gap(one, piece)
        elif one.times.next_from(second + piece.offset) == second + piece.offset:
            return _other_pass(timetable, piece, second)
    return None


def _in_gap(one: Ruled, piece: Piece) -> Absence:
    """Answer for the instant at which a local time would have come, had the clock not moved."""
    if dst.runs_after_gap(one.times, one.rules, piece):
        then = f"it runs right after the gap, at {at_text(piece.start * 1000)}"
    else:
        then = "it is skipped"
    detail = f"The clock goes forward here, so the local time does not exist: {then} (dst_gap)."
    return Absence("dst_gap", detail)


def _other_pass(timetable: Timetable, piece: Piece, second: int) -> Absence:
    """Answer for the pass of a repeated local time that does not count."""
    second_pass = second < piece.start + (piece.before - piece.offset)
    shift = (piece.before - piece.offset) if second_pass else (piece.offset - piece.after)
    other = second - shift if second_pass else second + shift
    which = ("second", "first") if second_pass else ("first", "second")
    detail = (
        f"The local time {local(timetable, second * 1000)} exists twice; this is the {which[0]}"
        f" pass, and only the {which[1]}, {at_text(other * 1000)}, counts (dst_overlap)."
    )
    return Absence("dst_overlap", detail)


def _sent(timetable: Timetable, at_ms: int) -> Absence | None:
    """Find the occurrence whose spread ends here."""
    if not timetable.spread:
        return None
    with suppress(SearchTooLong):
        nominal = previous_before_or_at(timetable, at_ms)
        if nominal is not None and fire_at(timetable, nominal) == at_ms:
            detail = (
                f"It is no occurrence: the one of {at_text(nominal)} is sent now, by its spread."
            )
            return Absence("spread", detail)
    return None


def _nearest(timetable: Timetable, at_ms: int) -> str:
    """Name the occurrences on both sides."""
    before = after = None
    with suppress(SearchTooLong):
        before = previous_before_or_at(timetable, at_ms - 1)
        after = next_after(timetable, at_ms)
    sides = [
        f"{at_text(found)} {side}"
        for found, side in ((before, "before"), (after, "after"))
        if found is not None
    ]
    return f"The nearest: {' and '.join(sides)} it." if sides else "There is no occurrence at all."
