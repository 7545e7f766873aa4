"""What a simulation comes to: load by minute and host, overlaps, misfires, changes of clocks.

Promises exact counts; a percentile is over all minutes of the stretch, the empty ones too. Pure.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from scheduler_svc.domain.clock_changes import ScheduleWarning, warnings
from scheduler_svc.domain.ids import epoch_ms, instant_at
from scheduler_svc.domain.occurrences import Timetable
from scheduler_svc.domain.simulate import Happening

MINUTE_MS = 60_000
P99 = 99
DAY_MS = 86_400_000
MISFIRES = frozenset({"misfire", "too_late", "merged"})
CLOCK_CHANGES_MAX = 40
"""Of one job: a stretch of decades names the first ones."""


class Peak(Struct, frozen=True, kw_only=True):
    """The fullest minute; `at` is null where nothing was sent."""

    count: int
    at: datetime | None


class HostLoad(Struct, frozen=True, kw_only=True):
    """What one host gets."""

    host: str
    sent: int
    peak: Peak


class Overlaps(Struct, frozen=True, kw_only=True):
    """Occurrences of one job that met an unfinished run, by what became of them."""

    job: str
    skipped: int = 0
    queued: int = 0
    cancelled: int = 0
    beside: int = 0

    @property
    def count(self) -> int:
        """Count them all."""
        return self.skipped + self.queued + self.cancelled + self.beside


class Misfires(Struct, frozen=True, kw_only=True):
    """Occurrences of one job that outages made late, by what became of them."""

    job: str
    caught_up: int = 0
    merged: int = 0
    misfire: int = 0
    too_late: int = 0

    @property
    def count(self) -> int:
        """Count them all."""
        return self.caught_up + self.merged + self.misfire + self.too_late


class ClockChange(Struct, frozen=True, kw_only=True):
    """What a change of clocks does to one job."""

    job: str
    code: str
    at: datetime
    detail: str


class Load:
    """Takes what happens, and says what it came to; jobs are known by their places."""

    def __init__(
        self, names: Sequence[str], hosts: Sequence[str], *, from_ms: int, to_ms: int
    ) -> None:
        self._names = names
        self._hosts = hosts
        self._first = from_ms // MINUTE_MS
        self._minutes = -(-to_ms // MINUTE_MS) - self._first
        self._by_minute: Counter[int] = Counter()
        self._by_host: dict[str, Counter[int]] = {}
        self._met: dict[int, Counter[str]] = {}
        self._missed: dict[int, Counter[str]] = {}
        self._under_way = 0
        self.in_flight = Peak(count=0, at=None)
        self.sent = 0

    def add(self, one: Happening) -> None:
        """Count what happened."""
        match one.what:
            case "sent":
                self._send(one)
            case "ended":
                self._under_way -= 1
            case "queued" if one.run.trigger == "schedule":
                self._meet(one, "queued")
            case "cancelled":
                self._under_way -= one.was_sent
                self._meet(one, "cancelled")
            case "skipped" if one.run.reason == "overlap":
                self._meet(one, "skipped")
            case "skipped" if one.run.reason in MISFIRES:
                self._miss(one, str(one.run.reason), one.run.occurrences)
            case _:
                pass

    def _send(self, one: Happening) -> None:
        minute = one.at_ms // MINUTE_MS
        self.sent += 1
        self._by_minute[minute] += 1
        self._by_host.setdefault(self._hosts[one.job], Counter())[minute] += 1
        self._under_way += 1
        if self._under_way > self.in_flight.count:
            self.in_flight = Peak(count=self._under_way, at=instant_at(one.at_ms))
        if one.beside:
            self._meet(one, "beside")
        if one.run.trigger == "catch_up":
            self._miss(one, "caught_up", 1)

    def _meet(self, one: Happening, how: str) -> None:
        self._met.setdefault(one.job, Counter())[how] += 1

    def _miss(self, one: Happening, how: str, count: int) -> None:
        self._missed.setdefault(one.job, Counter())[how] += count

    @property
    def peak(self) -> Peak:
        """Return the fullest minute."""
        return _peak(self._by_minute)

    @property
    def p99(self) -> int:
        """Return how many are sent in all but the fullest hundredth of the minutes."""
        counts = sorted(self._by_minute.values())
        rank = max(0, -(-self._minutes * P99 // 100) - 1)
        empty = self._minutes - len(counts)
        return 0 if rank < empty else counts[rank - empty]

    @property
    def mean(self) -> float:
        """Return how many are sent in a minute on average."""
        return round(self.sent / self._minutes, 3) if self._minutes else 0.0

    def hosts(self) -> list[HostLoad]:
        """Return the hosts, the most called first."""
        found = [
            HostLoad(host=host, sent=minutes.total(), peak=_peak(minutes))
            for host, minutes in self._by_host.items()
        ]
        return sorted(found, key=lambda one: (-one.sent, one.host))

    def overlaps(self) -> list[Overlaps]:
        """Return the jobs whose occurrences met unfinished runs, the worst first."""
        found = [Overlaps(job=self._names[job], **counts) for job, counts in self._met.items()]
        return sorted(found, key=lambda one: (-one.count, one.job))

    def misfires(self) -> list[Misfires]:
        """Return the jobs whose occurrences came too late, the worst first."""
        found = [Misfires(job=self._names[job], **counts) for job, counts in self._missed.items()]
        return sorted(found, key=lambda one: (-one.count, one.job))


def clock_changes(timetable: Timetable, *, from_ms: int, to_ms: int) -> list[ScheduleWarning]:
    """Name what changes of clocks do to a schedule in a stretch of time."""
    found: dict[tuple[str, datetime], ScheduleWarning] = {}
    after_ms = from_ms - 1
    while len(found) < CLOCK_CHANGES_MAX:
        coming = [one for one in warnings(timetable, after_ms) if epoch_ms(one.at) < to_ms]
        if not coming:
            break
        found |= {(one.code, one.at): one for one in coming}
        # A repeated hour begins before the change itself: a day on, neither is seen again.
        after_ms = min(epoch_ms(one.at) for one in coming) + DAY_MS
    return sorted(found.values(), key=lambda one: one.at)


def _peak(minutes: Counter[int]) -> Peak:
    """Return the fullest minute, the first of equals."""
    if not minutes:
        return Peak(count=0, at=None)
    minute, count = min(minutes.items(), key=lambda one: (-one[1], one[0]))
    return Peak(count=count, at=instant_at(minute * MINUTE_MS))
