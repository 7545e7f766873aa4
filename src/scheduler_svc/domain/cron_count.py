"""How many occurrences lie in a span: counted day by day, never walked.

Promises the number that walking would find, for several expressions and exclusions at once. Spans
are Unix seconds, [low, high).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from scheduler_svc.domain import dst
from scheduler_svc.domain.cron_pattern import DAY_SECONDS, Pattern
from scheduler_svc.domain.dst import Rules
from scheduler_svc.domain.zones import Piece, Zone


class Ruled(NamedTuple):
    """An expression and what clock changes do to it."""

    times: Pattern
    rules: Rules


def count(
    expressions: Sequence[Ruled], excluded: Sequence[Pattern], zone: Zone, low: int, high: int
) -> int:
    """Count the instants in [low, high) that some expression names and no exclusion removes."""
    total = 0
    while low < high:
        piece = zone.piece_at(low)
        end = min(piece.end, high)
        for chosen, since, until in _stretches(expressions, piece):
            begin, stop = max(since, low + piece.offset), min(until, end + piece.offset)
            if begin < stop:
                total += _count_local(chosen, excluded, begin, stop)
        if low == piece.start:
            total += _gap_only(expressions, excluded, piece)
        low = end
    return total


def _stretches(expressions: Sequence[Ruled], piece: Piece) -> list[tuple[list[Pattern], int, int]]:
    """Cut a piece's local times where it begins and ends to be a repeated hour.

    Each stretch comes with the expressions that count in it.
    """
    low, high = piece.start + piece.offset, piece.end + piece.offset
    back, again = max(piece.before - piece.offset, 0), max(piece.offset - piece.after, 0)
    everything = [times for times, _ in expressions]
    second = [times for times, rules in expressions if back and dst.counts_second(rules, back)]
    first = [times for times, rules in expressions if again and dst.counts_first(rules, again)]
    return [
        (second, low, low + back),
        (everything, low + back, high - again),
        (first, high - again, high),
    ]


def _gap_only(expressions: Sequence[Ruled], excluded: Sequence[Pattern], piece: Piece) -> int:
    """Count the one occurrence that a gap moves to the start of a piece and nothing else names."""
    local = piece.start + piece.offset
    if not any(dst.runs_after_gap(times, rules, piece) for times, rules in expressions):
        return 0
    if any(times.next_from(local) == local for times, _ in expressions):
        return 0
    return 0 if any(times.matches(local) for times in excluded) else 1


def _count_local(
    chosen: Sequence[Pattern], excluded: Sequence[Pattern], low: int, high: int
) -> int:
    """Count the local times in [low, high)."""
    if not chosen:
        return 0
    if len(chosen) == 1 and not excluded:
        return chosen[0].count(low, high)
    total = 0
    (first, since), (last, until) = divmod(low, DAY_SECONDS), divmod(high, DAY_SECONDS)
    for day in range(first, last + 1):
        live, removed = _of_day(chosen, day), _of_day(excluded, day)
        if not live:
            continue
        begin = since if day == first else 0
        end = until if day == last else DAY_SECONDS
        if (begin, end) == (0, DAY_SECONDS):
            total += _count_day(live, removed)
        else:
            span = (1 << end) - (1 << begin)
            total += (_times_of_day(live, removed) & span).bit_count()
    return total


def is_empty(chosen: Sequence[Pattern], excluded: Sequence[Pattern], day: int) -> bool:
    """True when nothing is left of a day, counted from 1970-01-01, after the exclusions."""
    live = _of_day(chosen, day)
    return not live or _count_day(live, _of_day(excluded, day)) == 0


def _of_day(patterns: Sequence[Pattern], day: int) -> frozenset[Pattern]:
    return frozenset(each for each in patterns if each.has_day(day))


@lru_cache(maxsize=1024)
def _count_day(live: frozenset[Pattern], removed: frozenset[Pattern]) -> int:
    return _times_of_day(live, removed).bit_count()


@lru_cache(maxsize=64)
def _times_of_day(live: frozenset[Pattern], removed: frozenset[Pattern]) -> int:
    """Return the seconds of a day that are named and not removed, as bits."""
    named = taken = 0
    for each in live:
        named |= each.day_mask(coarse=False)
    for each in removed:
        taken |= each.day_mask(coarse=not each.with_seconds)
    return named & ~taken
