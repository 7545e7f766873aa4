"""From local time to instants: what a clock change does to the occurrences of one expression.

Promises Debian cron's rule under `auto`, and exactly what is asked for otherwise. Works on a set
of local times (`cron_pattern`) and a zone (`zones`); instants are Unix seconds.
"""

from typing import Final, NamedTuple, Protocol

from scheduler_svc.domain.zones import Piece, Zone

CORRECTION: Final = 3 * 3600
"""A shift of three hours or more corrects the clock and is no summer time (Debian's cron.c)."""
_MARGIN: Final = 2 * 86_400
"""More than any offset or shift: how far from a local time its instants may lie."""


class LocalTimes(Protocol):
    """A set of local times, in seconds since 1970-01-01 00:00 on the wall clock."""

    def next_from(self, local: int) -> int | None:
        """Return the first member at or after `local`."""

    def last_until(self, local: int) -> int | None:
        """Return the last member at or before `local`."""


class Rules(NamedTuple):
    """What becomes of local times that do not exist, and of those that exist twice."""

    run_after: bool
    first: bool
    second: bool
    both_at_correction: bool


def rules_for(gap: str, overlap: str, *, wildcard: bool) -> Rules:
    """Settle the two policies for one expression; `auto` depends on whether it is a wildcard."""
    return Rules(
        run_after=gap == "run_after" or (gap == "auto" and not wildcard),
        first=overlap != "second",
        second=overlap in {"second", "both"} or (overlap == "auto" and wildcard),
        both_at_correction=overlap == "auto",
    )


def next_from(times: LocalTimes, rules: Rules, zone: Zone, instant: int) -> int | None:
    """Return the first occurrence at or after an instant."""
    while True:
        piece = zone.piece_at(instant)
        if instant == piece.start and runs_after_gap(times, rules, piece):
            return instant
        low, high = _live(rules, piece)
        low = max(low, instant + piece.offset)
        found = times.next_from(low)
        if found is not None and found < high:
            return found - piece.offset
        instant = piece.end
        if piece.end + piece.after >= low:  # the clock does not return to times before `low`
            if found is None:
                return None
            instant = max(instant, found - piece.offset - _MARGIN)


def last_until(times: LocalTimes, rules: Rules, zone: Zone, instant: int) -> int | None:
    """Return the last occurrence at or before an instant."""
    while True:
        piece = zone.piece_at(instant)
        low, high = _live(rules, piece)
        high = min(high - 1, instant + piece.offset)
        found = times.last_until(high)
        if found is not None and found >= low:
            return found - piece.offset
        if runs_after_gap(times, rules, piece):
            return piece.start
        instant = piece.start - 1
        if piece.start + piece.before - 1 <= high:  # nothing earlier reads later than `high`
            if found is None:
                return None
            instant = min(instant, found - piece.offset + _MARGIN)


def runs_after_gap(times: LocalTimes, rules: Rules, piece: Piece) -> bool:
    """True when something that fell into the gap before a piece runs at the piece's start."""
    if not rules.run_after or piece.offset - piece.before >= CORRECTION:
        return False
    return first_in_gap(times, piece) is not None


def first_in_gap(times: LocalTimes, piece: Piece) -> int | None:
    """Return the first local time that the gap before a piece swallows; None without a gap."""
    if piece.offset <= piece.before:
        return None
    found = times.next_from(piece.start + piece.before)
    return found if found is not None and found < piece.start + piece.offset else None


def _live(rules: Rules, piece: Piece) -> tuple[int, int]:
    """Return the local times [low, high) that count within a piece."""
    low, high = piece.start + piece.offset, piece.end + piece.offset
    repeated, repeating = piece.before - piece.offset, piece.offset - piece.after
    if repeated > 0 and not counts_second(rules, repeated):
        low += repeated
    if repeating > 0 and not counts_first(rules, repeating):
        high -= repeating
    return low, high


def counts_first(rules: Rules, shift: int) -> bool:
    """True when the first pass of a repeated time counts, the clock going back by `shift`."""
    return rules.first or (rules.both_at_correction and shift >= CORRECTION)


def counts_second(rules: Rules, shift: int) -> bool:
    """True when the second pass of a repeated time counts, the clock going back by `shift`."""
    return rules.second or (rules.both_at_correction and shift >= CORRECTION)
