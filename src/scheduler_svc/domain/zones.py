"""Time zones from the `tzdata` package, never from the machine's own files.

Promises the same rules on every replica that runs the same lock, and names the version it reads.
Reads package data once for each zone; knows no clock and no policy (`dst` has those).
"""

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import tzdata  # type: ignore[import-untyped]

YEAR_MIN: Final = 1970
YEAR_MAX: Final = 2199
_HINT: Final = "use an IANA name such as 'Europe/Berlin' or 'UTC'"
_SHOWN_MAX: Final = 64
_PROBE: Final = 5 * 86_400
"""Seconds between two probes for a change. The shortest stay at an offset since 1970 is an hour
less than seven days (Noronha, October 2000); a test reads the zone files to see that none is
shorter than a probe."""
_LAST: Final = 253_402_128_000
"""30 December 9999: a block of time that holds it goes on beyond what a datetime can be."""


class Piece(NamedTuple):
    """A span of time in which a zone keeps one offset, and the offsets on both sides of it.

    `start` and `end` are Unix seconds, `start` inclusive; offsets are seconds east of UTC. A side
    on which nothing changes for a year or more has an arbitrary bound and this piece's own offset.
    """

    start: int
    end: int
    offset: int
    before: int
    after: int


class Change(NamedTuple):
    """An instant, in Unix seconds, at which a zone's offset changes."""

    at: int
    before: int
    after: int


def tzdata_version() -> str:
    """Name the release of the rules, for example `2026f`."""
    return str(tzdata.IANA_VERSION)


@cache
def zone_names() -> frozenset[str]:
    """List every name that a schedule may carry."""
    listed = files("tzdata").joinpath("zones").read_text(encoding="ascii").split()
    return frozenset(listed) - {"Factory"}


def zone_fault(name: str) -> str | None:
    """Say what is wrong with the name of a zone, with the likeliest one meant; None when good."""
    if name in zone_names():
        return None
    if not name:
        return f"a time zone may not be empty; {_HINT}"
    shown = name if len(name) <= _SHOWN_MAX else name[: _SHOWN_MAX - 1] + "…"
    same = [known for known in zone_names() if known.casefold() == name.casefold()]
    near = same or _near(name)
    if near:
        return f"unknown time zone '{shown}'; did you mean '{near[0]}'?"
    return f"unknown time zone '{shown}'; {_HINT}"


def _near(name: str) -> list[str]:
    """Find the zone most like a misspelt one, or whose last part it is."""
    wanted = name[:_SHOWN_MAX].casefold().replace(" ", "_")
    known = {zone.casefold(): zone for zone in sorted(zone_names())}
    tails = [zone for low, zone in known.items() if low.rpartition("/")[2] == wanted]
    return tails or [known[low] for low in get_close_matches(wanted, known, n=1, cutoff=0.75)]


@lru_cache(maxsize=1024)
def zone_info(name: str) -> ZoneInfo:
    """Load a zone from the package; raise KeyError for a name it does not list."""
    if name not in zone_names():
        raise KeyError(name)
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as rules:
        return ZoneInfo.from_file(rules, key=name)


class Zone:
    """A zone as pieces of constant offset, found year by year and kept."""

    __slots__ = ("_changes", "_pieces", "_rules", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules = zone_info(name)
        self._changes: dict[int, tuple[Change, ...]] = {}
        self._pieces: dict[int, tuple[list[int], list[Piece]]] = {}

    def piece_at(self, instant: int) -> Piece:
        """Return the piece that holds an instant given in Unix seconds."""
        year = 1970 + instant // 31_556_952
        found = self._pieces.get(year)
        if found is None:
            found = self._pieces[year] = self._pieces_around(year)
        starts, pieces = found
        return pieces[bisect_right(starts, instant) - 1]

    def offset_at(self, instant: int) -> int:
        """Return the seconds east of UTC at an instant given in Unix seconds."""
        return self.piece_at(instant).offset

    def changes(self, after: int, until: int) -> Iterable[Change]:
        """Yield the changes of offset in (after, until], in order."""
        for year in range(1970 + after // 31_556_952 - 1, 1970 + until // 31_556_952 + 2):
            yield from (found for found in self._changes_of(year) if after < found.at <= until)

    def _pieces_around(self, year: int) -> tuple[list[int], list[Piece]]:
        """Build the pieces of a year, with a year to either side for their true bounds."""
        years = (year - 1, year, year + 1)
        changes = [change for near in years for change in self._changes_of(near)]
        first, last = _start_of(year - 1), _start_of(year + 2)
        offset = changes[0].before if changes else self._probe(first)
        edges = [Change(first, offset, offset), *changes]
        pieces = []
        for edge, following in zip(edges, [*edges[1:], None], strict=True):
            end, after = (following.at, following.after) if following else (last, edge.after)
            pieces.append(Piece(edge.at, end, edge.after, edge.before, after))
        return [piece.start for piece in pieces], pieces

    def _changes_of(self, year: int) -> tuple[Change, ...]:
        """Find the changes within a mean year, by probing and then halving."""
        found = self._changes.get(year)
        if found is None:
            found = self._changes[year] = tuple(self._search(_start_of(year), _start_of(year + 1)))
        return found

    def _search(self, low: int, high: int) -> Iterable[Change]:
        """Yield the changes in (low, high], in order."""
        offset = self._probe(low)
        while low < high:
            probe = min(low + _PROBE, high)
            later = self._probe(probe)
            if later != offset:
                yield Change(self._halve(low, probe, offset), offset, later)
            low, offset = probe, later

    def _halve(self, low: int, high: int, offset: int) -> int:
        """Return the first second in (low, high] that no longer has the offset of `low`."""
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._probe(middle) == offset else (low, middle)
        return high

    def _probe(self, instant: int) -> int:
        offset = datetime.fromtimestamp(min(instant, _LAST), self._rules).utcoffset()
        return int(offset.total_seconds()) if offset is not None else 0


@lru_cache(maxsize=1024)
def zone(name: str) -> Zone:
    """Return the pieces of a zone, kept between calls; raise KeyError for an unknown name."""
    return Zone(name)


def _start_of(year: int) -> int:
    """Return where a mean Gregorian year begins: years here only cut time into blocks."""
    return (year - 1970) * 31_556_952
