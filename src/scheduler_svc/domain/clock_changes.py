"""What clock changes will do to a schedule, said before they do it.

Promises the next affected instant of each kind, in local time and UTC, with what will happen; and
for a single occurrence its wall-clock time and a note where that time is odd.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Final, Literal

from msgspec import Struct

from scheduler_svc.domain import dst
from scheduler_svc.domain.cadence import CronCadence
from scheduler_svc.domain.cron_count import Ruled
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import Timetable
from scheduler_svc.domain.zones import Change, Piece, zone

LOOK_AHEAD: Final = 5 * 366 * 86_400
"""How many seconds ahead changes are looked at."""
_ALL_HOURS: Final = (1 << 24) - 1
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock, in no zone


class ScheduleWarning(Struct, frozen=True):
    """Something that will happen to a schedule and may surprise."""

    code: Literal["dst_gap", "dst_overlap"]
    detail: str
    at: datetime


def warnings(timetable: Timetable, after_ms: int) -> list[ScheduleWarning]:
    """Name the next occurrence that falls into a gap, and the next that exists twice.

    An expression that runs through all hours and follows elapsed time is not affected.
    """
    cadence = timetable.cadence
    if not isinstance(cadence, CronCadence):
        return []
    name = timetable.schedule.timezone
    affected = [one for one in cadence.expressions if not _follows_elapsed_time(one)]
    gap: ScheduleWarning | None = None
    overlap: ScheduleWarning | None = None
    since = max(after_ms, timetable.start) // 1000
    until = min(since + LOOK_AHEAD, timetable.end // 1000)
    for change in cadence.zone.changes(since, until) if affected else ():
        if change.after > change.before:
            gap = gap or _first(timetable, (_gap(one, change, name) for one in affected))
        else:
            overlap = overlap or _first(
                timetable, (_overlap(one, change, name) for one in affected)
            )
        if gap and overlap:
            break
    return sorted(filter(None, (gap, overlap)), key=lambda warning: warning.at)


def local(timetable: Timetable, instant_ms: int) -> str:
    """Write an instant in the schedule's zone, with its offset: `2026-03-29T03:00:00+02:00`."""
    place = zone(timetable.schedule.timezone)
    offset = timezone(timedelta(seconds=place.offset_at(instant_ms // 1000)))
    instant = instant_at(instant_ms).astimezone(offset)
    return instant.isoformat(timespec="milliseconds" if instant_ms % 1000 else "seconds")


def note(timetable: Timetable, instant_ms: int) -> str | None:
    """Say what is odd about an occurrence's wall-clock time; None when nothing is."""
    second = instant_ms // 1000
    piece = zone(timetable.schedule.timezone).piece_at(second)
    cadence = timetable.cadence
    if instant_ms == piece.start * 1000 and isinstance(cadence, CronCadence):
        moved = [found for one in cadence.expressions if (found := _moved(one, piece)) is not None]
        if moved:
            return f"{_clock(min(moved))} does not exist on this day; runs right after the gap"
    if second < piece.start + (piece.before - piece.offset):
        return "second pass of a repeated local time"
    if second >= piece.end - (piece.offset - piece.after):
        return "first pass of a repeated local time"
    return None


def _moved(one: Ruled, piece: Piece) -> int | None:
    """Return the first local time that a gap moves to the start of a piece."""
    if not dst.runs_after_gap(one.times, one.rules, piece):
        return None
    return dst.first_in_gap(one.times, piece)


def _follows_elapsed_time(one: Ruled) -> bool:
    rules = one.rules
    plain = not rules.run_after and rules.first and rules.second
    return plain and one.times.hours == _ALL_HOURS


def _first(timetable: Timetable, found: Iterable[ScheduleWarning | None]) -> ScheduleWarning | None:
    """Return the first warning whose instant is not excluded."""
    return next((one for one in found if one and not _excluded(timetable, one.at)), None)


def _excluded(timetable: Timetable, at: datetime) -> bool:
    return timetable.exclusion.block_around(epoch_ms(at)) is not None


def _gap(one: Ruled, change: Change, zone_name: str) -> ScheduleWarning | None:
    low, high = change.at + change.before, change.at + change.after
    found = one.times.next_from(low)
    if found is None or found >= high:
        return None
    if one.rules.run_after and high - low < dst.CORRECTION:
        then = f"runs right after the gap, at {_both(change.at, change.after)}"
    else:
        then = "is skipped"
    detail = (
        f"On {_date(low)} the clock in {zone_name} goes forward from {_clock(low)} to"
        f" {_clock(high, low)}: the occurrence at {_clock(found)} does not exist and {then}."
    )
    return ScheduleWarning("dst_gap", detail, instant_at(change.at * 1000))


def _overlap(one: Ruled, change: Change, zone_name: str) -> ScheduleWarning | None:
    low, high = change.at + change.after, change.at + change.before
    found = one.times.next_from(low)
    if found is None or found >= high:
        return None
    passes = [
        _both(found - offset, offset)
        for offset, counts in (
            (change.before, dst.counts_first(one.rules, high - low)),
            (change.after, dst.counts_second(one.rules, high - low)),
        )
        if counts
    ]
    first_only = dst.counts_first(one.rules, high - low)
    which = "twice" if passes[1:] else f"in the {'first' if first_only else 'second'} pass"
    detail = (
        f"On {_date(high)} the clock in {zone_name} goes back from {_clock(high)} to"
        f" {_clock(low, high)}: {_clock(found)} exists twice and runs {which},"
        f" at {' and '.join(passes)}."
    )
    return ScheduleWarning("dst_overlap", detail, instant_at((found - change.before) * 1000))


def _both(instant: int, offset: int) -> str:
    """Write an instant as wall-clock time with offset and as UTC."""
    shown = instant_at(instant * 1000).astimezone(timezone(timedelta(seconds=offset)))
    return f"{shown:%H:%M:%S}{shown:%z} ({instant_at(instant * 1000):%Y-%m-%dT%H:%M:%SZ})"


def _date(local_second: int) -> str:
    return f"{_EPOCH + timedelta(seconds=local_second):%Y-%m-%d}"


def _clock(local_second: int, beside: int | None = None) -> str:
    """Write a wall-clock time, with its date when `beside` lies on another day."""
    moment = _EPOCH + timedelta(seconds=local_second)
    text = f"{moment:%H:%M}" if moment.second == 0 else f"{moment:%H:%M:%S}"
    if beside is not None and _date(beside) != _date(local_second):
        return f"{text} on {_date(local_second)}"
    return text
