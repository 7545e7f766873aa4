"""Occurrences per minute of one schedule, or of many intervals of one length.

Promises the very instants that the engine would name, counted into minutes. A source is walked a
step at a time, so that the caller decides how much of it is done at once. Times are epoch
milliseconds, minutes are whole minutes since 1970; spans are [low, high).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from scheduler_svc.domain.cadence import CronCadence
from scheduler_svc.domain.cron_pattern import DAY_SECONDS, Pattern
from scheduler_svc.domain.occurrences import Timetable, count_between, fire_at, next_after

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1440
COUNT_MAX: Final = 1_000_000

Counted = tuple[int, int]
"""A minute, and how often something fires in it."""


class Span(Struct, frozen=True, gc=False):
    """A stretch of time [low, high); of the occurrences from `since` on, `most` are sent."""

    low: int
    high: int
    since: int = 0
    most: int | None = None


def minutes_of(timetable: Timetable, span: Span) -> Iterator[Counted]:
    """Yield the minutes in which a schedule is sent."""
    if timetable.spread or span.most is not None:
        yield from _one_by_one(timetable, span)
    elif (days := _plain_days(timetable, span)) is not None:
        yield from days
    else:
        yield from _by_minute(timetable, span)


def minutes_of_intervals(period: int, phases: Sequence[int], span: Span) -> Iterator[Counted]:
    """Yield the minutes in which jobs `every` so long are sent.

    `phases` are their anchors modulo the period, sorted. A bisection for each minute, or a walk
    where less is sent than there are minutes.
    """
    sent = len(phases) * ((span.high - span.low) // period + 1)
    if sent < (span.high - span.low) // MINUTE_MS:
        for phase in phases:
            first = span.low + (phase - span.low) % period
            for at in range(first, span.high, period):
                yield at // MINUTE_MS, 1
        return
    known: dict[int, int] = {}
    at = span.low
    while at < span.high:
        end = min(at - at % MINUTE_MS + MINUTE_MS, span.high)
        rest = at % period
        count = known.get(rest) if end - at == MINUTE_MS else None
        if count is None:
            count = _sent_before(period, phases, end) - _sent_before(period, phases, at)
            if end - at == MINUTE_MS:
                known[rest] = count  # minutes that begin at the same point of the period are alike
        if count:
            yield at // MINUTE_MS, count
        at = end


def _sent_before(period: int, phases: Sequence[int], at: int) -> int:
    """Count what lies before an instant, from a beginning that does not matter."""
    whole, rest = divmod(at, period)
    return whole * len(phases) + bisect_left(phases, rest)


def _one_by_one(timetable: Timetable, span: Span) -> Iterator[Counted]:
    """Walk where each occurrence is sent at an instant of its own, or only some of them are."""
    at = max(span.low - timetable.spread, span.since) - 1
    left = span.most
    if left is not None:
        left -= count_between(timetable, span.since - 1, at, left)[0]
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
    at = next_after(timetable, span.low - 1)
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
    """Answer for one expression where no clock changes and nothing is left out; else None."""
    cadence = timetable.cadence
    if not isinstance(cadence, CronCadence) or len(cadence.expressions) > 1 or timetable.exclusion:
        return None
    low, high = max(span.low, timetable.start), min(span.high, timetable.end)
    piece = cadence.zone.piece_at(low // 1000)
    margin = 2 * DAY_SECONDS
    near_change = low // 1000 - margin < piece.start or high // 1000 + margin > piece.end
    if near_change or piece.offset % 60 or low % MINUTE_MS or high % MINUTE_MS:
        return None
    offset = piece.offset // 60
    return _days(cadence.expressions[0].times, offset, low // MINUTE_MS, high // MINUTE_MS)


def _days(pattern: Pattern, offset: int, low: int, high: int) -> Iterator[Counted]:
    """Yield day by day what is the same in each; `offset` is in minutes, east of UTC."""
    times = _times_of_day(pattern)
    for day in range((low + offset) // DAY_MINUTES, (high + offset) // DAY_MINUTES + 1):
        if not pattern.has_day(day):
            continue
        first = day * DAY_MINUTES - offset
        for minute, count in times:
            if low <= first + minute < high:
                yield first + minute, count


def _times_of_day(pattern: Pattern) -> list[Counted]:
    """List the minutes of a matching day."""
    count = pattern.seconds.bit_count()
    hours = [hour for hour in range(24) if pattern.hours >> hour & 1]
    minutes = [minute for minute in range(60) if pattern.minutes >> minute & 1]
    return [(hour * 60 + minute, count) for hour in hours for minute in minutes]
