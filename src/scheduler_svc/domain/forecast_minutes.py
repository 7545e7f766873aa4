"""Occurrences per minute of one schedule.

Promises the very instants that the engine would name, counted into minutes. A source is walked a
step at a time, so that the caller decides how much of it is done at once. Times are epoch
milliseconds, minutes are whole minutes since 1970; spans are [low, high).
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from scheduler_svc.domain.cadence import CronCadence, EveryCadence
from scheduler_svc.domain.cron_pattern import DAY_SECONDS, Pattern
from scheduler_svc.domain.exclusion import Exclusion
from scheduler_svc.domain.forecast_intervals import (
    MINUTE_MS,
    Cells,
    Counted,
    Intervals,
    minutes_of_intervals,
)
from scheduler_svc.domain.occurrences import Timetable, count_between, fire_at, next_after

DAY_MINUTES: Final = 1440
COUNT_MAX: Final = 1_000_000


class Span(Struct, frozen=True, gc=False):
    """A stretch of time [low, high); of the occurrences from `since` on, `most` are sent."""

    low: int
    high: int
    since: int = 0
    most: int | None = None


def minutes_of(timetable: Timetable, span: Span) -> Iterator[Counted]:
    """Yield the minutes in which a schedule is sent, and 0 for some in which it is not."""
    cadence = timetable.cadence
    if isinstance(cadence, EveryCadence) and timetable.spread < cadence.period:
        shared = intervals_of(timetable, cadence.period, span, since=cadence.anchor)
        found = minutes_of_intervals(shared, [cadence.anchor % cadence.period], Cells(shared))
    elif timetable.spread:
        yield from _one_by_one(timetable, span)
        return
    else:
        found = _plain_days(timetable, span) or _by_minute(timetable, span)
    yield from found if span.most is None else _first(found, _left(timetable, span))


def intervals_of(timetable: Timetable, period: int, span: Span, *, since: int = 0) -> Intervals:
    """Return where an `every` occurs, from its anchor on, that is sent within a span.

    Of one whose spread does not reach the next occurrence, which would cut it short.
    """
    spread = timetable.spread
    low = max(span.low - spread, span.since, since, timetable.start)
    high = min(span.high - spread, timetable.end)
    return Intervals(period, low, high, timetable.exclusion or None, spread)


def _left(timetable: Timetable, span: Span) -> int:
    """Return how many of those that a schedule may still send are left for the span."""
    most = span.most or 0
    before = max(span.low - timetable.spread, span.since) - 1
    return most - count_between(timetable, span.since - 1, before, most)[0]


def _first(found: Iterator[Counted], left: int) -> Iterator[Counted]:
    """Yield what comes first, up to so many."""
    for minute, count in found:
        if left <= 0:
            return
        yield minute, min(count, left)
        left -= count


def _one_by_one(timetable: Timetable, span: Span) -> Iterator[Counted]:
    """Walk where each occurrence is sent at an instant of its own."""
    at = max(span.low - timetable.spread, span.since) - 1
    left = None if span.most is None else _left(timetable, span)
    while left is None or left > 0:
        found = next_after(timetable, at)
        if found is None or found >= span.high:
            return
        sent = fire_at(timetable, found)
        if span.low <= sent < span.high:
            yield sent // MINUTE_MS, 1
        at, left = found, None if left is None else left - 1


def _by_minute(timetable: Timetable, span: Span) -> Iterator[Counted]:
    """Walk from one minute that has an occurrence to the next."""
    at = next_after(timetable, max(span.low, span.since) - 1)
    while at is not None and at < span.high:
        minute = at // MINUTE_MS
        end = min((minute + 1) * MINUTE_MS, span.high) - 1
        following = next_after(timetable, at)
        if following is None or following > end:
            yield minute, 1
            at = following
        else:
            yield minute, count_between(timetable, at - 1, end, COUNT_MAX)[0]
            at = next_after(timetable, end)


def _plain_days(timetable: Timetable, span: Span) -> Iterator[Counted] | None:
    """Answer for one expression where no clock changes; else None."""
    cadence, exclusion = timetable.cadence, timetable.exclusion
    if not isinstance(cadence, CronCadence) or len(cadence.expressions) > 1:
        return None
    low, high = max(span.low, span.since, timetable.start), min(span.high, timetable.end)
    piece = cadence.zone.piece_at(low // 1000)
    margin = 2 * DAY_SECONDS
    near_change = low // 1000 - margin < piece.start or high // 1000 + margin > piece.end
    if near_change or piece.offset % 60:
        return None
    pattern, offset = cadence.expressions[0].times, piece.offset // 60
    spans = exclusion.free_spans(low, high)
    return (each for one in spans for each in _days(pattern, offset, one, exclusion))


def _days(
    pattern: Pattern, offset: int, span: tuple[int, int], exclusion: Exclusion
) -> Iterator[Counted]:
    """Yield day by day what is the same in each; `offset` is in minutes, east of UTC."""
    first, last = span[0] // MINUTE_MS, (span[1] - 1) // MINUTE_MS
    times, count = _times_of_day(pattern), pattern.seconds.bit_count()
    for day in range((first + offset) // DAY_MINUTES, (last + offset) // DAY_MINUTES + 1):
        if not pattern.has_day(day):
            continue
        for minute in times:
            at = day * DAY_MINUTES - offset + minute
            if first < at < last and not exclusion.patterns:
                yield at, count
            elif first <= at <= last:
                free = _within(at, span) & ~exclusion.blocked_seconds(at)
                yield at, (pattern.seconds & free).bit_count()


def _within(minute: int, span: tuple[int, int]) -> int:
    """Return the seconds of a minute that begin within a span, a bit for each."""
    begin, end = (-((minute * MINUTE_MS - edge) // 1000) for edge in span)
    return (1 << min(max(end, 0), 60)) - (1 << min(max(begin, 0), 60))


def _times_of_day(pattern: Pattern) -> list[int]:
    """List the minutes of a matching day."""
    hours = [hour for hour in range(24) if pattern.hours >> hour & 1]
    minutes = [minute for minute in range(60) if pattern.minutes >> minute & 1]
    return [hour * 60 + minute for hour in hours for minute in minutes]
