"""The occurrences of a schedule: a compiled form, and the questions the service asks of it.

Promises the same answers on every replica: they depend on the schedule, the job's id and the
zone rules alone. Instants are epoch milliseconds and nominal: `spread` is not in them, and
`max_runs` is the engine's to count.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from scheduler_svc.domain.cadence import AtCadence, Cadence, CronCadence, EveryCadence
from scheduler_svc.domain.cron import compile_cron, is_hashed
from scheduler_svc.domain.cron_count import Ruled
from scheduler_svc.domain.cron_pattern import Pattern
from scheduler_svc.domain.dst import rules_for
from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.exclusion import Exclusion, excluding, nothing
from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.schedule import Schedule
from scheduler_svc.domain.zones import YEAR_MAX, YEAR_MIN, zone

HORIZON: Final = (YEAR_MAX - YEAR_MIN + 1) * 31_556_952_000
"""Nothing occurs later than this: the end of the year 2199, in mean years."""
NOT_YET: Final = [0]
"""What no question is answered from, shared by all that were not asked yet."""
COMING_MAX: Final = 5
"""How many occurrences to come a timetable remembers: those that an answer shows."""
STEPS_MAX: Final = 1_000
STRETCHES_MAX: Final = 40 * STEPS_MAX
"""How many blocked stretches one search passes before it gives up."""


class SearchTooLong(ValueError):
    """The exclusions of a schedule chop time so finely that no answer was found in bounds."""


class Timetable:
    """A compiled schedule. Equal schedules share one; it remembers its last answer."""

    __slots__ = (
        "_asked",
        "_behind",
        "_coming",
        "_since",
        "_told",
        "cadence",
        "end",
        "exclusion",
        "schedule",
        "spread",
        "start",
    )

    def __init__(
        self, schedule: Schedule, cadence: Cadence, exclusion: Exclusion, spread: int
    ) -> None:
        self.schedule = schedule
        self.cadence = cadence
        self.exclusion = exclusion
        self.spread = spread
        self.start = 0 if schedule.start is None else max(epoch_ms(schedule.start), 0)
        self.end = HORIZON if schedule.end is None else min(epoch_ms(schedule.end), HORIZON)
        self._asked, self._told = 0, 0
        self._since, self._coming = 0, NOT_YET
        self._behind: tuple[int, int, int | None] = 0, 0, None

    def next_after(self, instant: int) -> int | None:
        """Return the first occurrence after an instant."""
        if self._asked <= instant < self._told:
            return self._told
        found = self._search(max(instant + 1, self.start))
        if found is not None:
            self._asked, self._told = instant, found
        return found

    def coming(self, instant: int, n: int) -> list[int]:
        """List the first few after an instant; asked again before the first, it only looks."""
        known = self._coming
        if not known or len(known) < n or not self._since <= instant < known[0]:
            self._since, self._coming = instant, _listed(self, instant, COMING_MAX)
        return self._coming[:n]

    def last_until(self, instant: int) -> int | None:
        """Return the last occurrence at or before an instant."""
        low, high, found = self._behind
        if not low <= instant < high:
            found = self._search_back(min(instant, self.end - 1))
            if self._asked <= instant < self._told:  # else nobody knows when the next one is
                self._behind = instant, self._told, found
        return found

    def _search_back(self, at: int) -> int | None:
        for _ in range(STEPS_MAX):
            found = self.cadence.last_until(at)
            if found is None or found < self.start:
                return None
            block = self.exclusion.block_around(found) if self.exclusion else None
            if block is None:
                return found
            at = block[0] - 1
        raise SearchTooLong("the exclusions leave no occurrence within reach")

    def _search(self, at: int) -> int | None:
        for _ in range(STEPS_MAX):
            found = self.cadence.next_from(at)
            if found is None or found >= self.end:
                return None
            block = self.exclusion.block_around(found) if self.exclusion else None
            if block is None:
                return found
            at = block[1]
            if self.exclusion.patterns and isinstance(self.cadence, CronCadence):
                at = self.cadence.skip_empty_day(self.exclusion.patterns, at)
        raise SearchTooLong("the exclusions leave no occurrence within reach")


def compile_schedule(schedule: Schedule, *, job_id: UUID, created_at: datetime) -> Timetable:
    """Compile a schedule that `schedule_check.check` let pass; equal ones share the result.

    The job's id matters to `H` and `spread` only, `created_at` only to `every` without an anchor.
    Raises CronFault, KeyError or ValueError for what the check would have refused.
    """
    if is_one_instant(schedule):  # hardly another's too, and over soon
        return _timetable(schedule, job_id, None)
    key = msgspec.json.encode(schedule)
    anchor = created_at if depends_on_creation(schedule) else None
    return _compile(key, job_id if depends_on_id(schedule) else None, anchor)


def shared_timetable(schedule: Schedule) -> Timetable | None:
    """Compile what is the same for all jobs of a schedule; None where each has its own.

    It is for the caller to keep.
    """
    own = depends_on_id(schedule) or depends_on_creation(schedule) or is_one_instant(schedule)
    return None if own else _timetable(schedule, None, None)


def is_one_instant(schedule: Schedule) -> bool:
    """Tell whether a schedule names a single instant."""
    return isinstance(schedule.at, datetime)


def depends_on_id(schedule: Schedule) -> bool:
    """Tell whether equal schedules of two jobs may name other instants, or send at others."""
    return schedule.spread != "0s" or any(is_hashed(text) for text in expressions_of(schedule))


def depends_on_creation(schedule: Schedule) -> bool:
    """Tell whether its occurrences are counted from when its job was created."""
    return schedule.every is not UNSET and schedule.anchor is UNSET


def next_after(timetable: Timetable, instant_ms: int) -> int | None:
    """Return the first occurrence strictly after an instant; None when none is left."""
    return timetable.next_after(instant_ms)


def previous_before_or_at(timetable: Timetable, instant_ms: int) -> int | None:
    """Return the last occurrence at or before an instant."""
    return timetable.last_until(instant_ms)


def take(timetable: Timetable, after_ms: int, n: int) -> list[int]:
    """List the next `n` occurrences strictly after an instant, fewer when they end."""
    if n <= COMING_MAX:
        return timetable.coming(after_ms, n)
    return _listed(timetable, after_ms, n)


def _listed(timetable: Timetable, after_ms: int, n: int) -> list[int]:
    found: list[int] = []
    while len(found) < n:
        following = timetable.next_after(found[-1] if found else after_ms)
        if following is None:
            break
        found.append(following)
    return found


def count_between(
    timetable: Timetable, after_ms: int, until_ms: int, limit: int, stretches: int = STRETCHES_MAX
) -> tuple[int, int | None, int | None]:
    """Count the occurrences in (after, until], at most `limit`; with the first and the last.

    First and last are exact whatever the limit. Counts by arithmetic, not by walking, but for an
    `every` that expressions cut up: raises SearchTooLong where they leave more `stretches` of it.
    """
    first = timetable.next_after(after_ms)
    if first is None or first > until_ms:
        return 0, None, None
    last = timetable.last_until(until_ms)
    low, high = max(after_ms + 1, timetable.start), min(until_ms + 1, timetable.end)
    total = 0
    for begin, end in timetable.exclusion.free_spans(low, high):
        total += _count(timetable, begin, end, limit - total, stretches)
        if total >= limit:
            return limit, first, last
    return total, first, last


def spread_ms(timetable: Timetable) -> int:
    """Return the delay between an occurrence and its sending: constant for a job."""
    return timetable.spread


def fire_at(timetable: Timetable, scheduled_ms: int) -> int:
    """Return when an occurrence is sent: its time and the spread, never reaching the next one."""
    if timetable.spread == 0:
        return scheduled_ms
    following = timetable.next_after(scheduled_ms)
    latest = scheduled_ms + timetable.spread
    return latest if following is None else min(latest, following - 1)


def last_due(timetable: Timetable, by_ms: int) -> int | None:
    """Return the last occurrence that is to be sent at or before an instant.

    Sending times keep the order of the occurrences, so all before it are due too.
    """
    last = timetable.last_until(by_ms)
    if last is None or timetable.spread == 0 or fire_at(timetable, last) <= by_ms:
        return last
    return timetable.last_until(last - 1)  # it is sent before the next one occurs


def expressions_of(schedule: Schedule) -> list[str]:
    """List the cron expressions that decide when a schedule occurs, its exclusions included."""
    named = [] if schedule.cron is UNSET else schedule.cron
    listed = [named] if isinstance(named, str) else named
    return [*listed, *(entry for entry in schedule.exclude if isinstance(entry, str))]


@lru_cache(maxsize=16_384)
def _compile(key: bytes, job_id: UUID | None, anchor: datetime | None) -> Timetable:
    return _timetable(msgspec.json.decode(key, type=Schedule), job_id, anchor)


def _timetable(schedule: Schedule, job_id: UUID | None, anchor: datetime | None) -> Timetable:
    drawn = job_id or UUID(int=0)
    place = zone(schedule.timezone)
    exclusion = excluding(schedule.exclude, drawn, place) if schedule.exclude else nothing(place)
    cadence = _cadence(schedule, drawn, anchor)
    spread = draw_spread(milliseconds(schedule.spread), drawn)
    return Timetable(schedule, cadence, exclusion, spread)


def _cadence(schedule: Schedule, job_id: UUID, created_at: datetime | None) -> Cadence:
    if schedule.every is not UNSET:
        anchor = created_at if schedule.anchor is UNSET else schedule.anchor
        return EveryCadence(0 if anchor is None else epoch_ms(anchor), milliseconds(schedule.every))
    if schedule.at is not UNSET:
        instants = schedule.at if isinstance(schedule.at, list) else [schedule.at]
        return AtCadence([epoch_ms(instant) for instant in instants])
    if schedule.cron is UNSET:
        raise ValueError("a schedule needs one of cron, every and at")
    texts = [schedule.cron] if isinstance(schedule.cron, str) else schedule.cron
    patterns = [compile_cron(text, job_id) for text in dict.fromkeys(texts)]
    gap, overlap = schedule.dst_gap, schedule.dst_overlap
    ruled = [Ruled(one, rules_for(gap, overlap, wildcard=one.wildcard)) for one in patterns]
    return CronCadence(ruled, zone(schedule.timezone))


def draw_spread(width: int, job_id: UUID) -> int:
    """Draw a job's delay from [0, width), evenly and always the same."""
    if width == 0:
        return 0
    return int.from_bytes(sha256(job_id.bytes + b"spread").digest()[:8]) % width


def _count(timetable: Timetable, low: int, high: int, limit: int, stretches: int) -> int:
    """Count within a span that no window touches."""
    patterns: Sequence[Pattern] = timetable.exclusion.patterns
    cadence = timetable.cadence
    if not patterns:
        return cadence.count(low, high)
    if isinstance(cadence, CronCadence):
        return cadence.count_without(patterns, low, high)
    return _count_walking(timetable, low, high, limit, stretches)


def _count_walking(timetable: Timetable, low: int, high: int, limit: int, stretches: int) -> int:
    """Count what expressions leave of `every` and `at`, stretch by stretch."""
    total = 0
    for _ in range(stretches):
        found = timetable.next_after(low - 1)
        if found is None or found >= high or total >= limit:
            return total
        block = timetable.exclusion.next_block(found)
        low = high if block is None else min(max(block, found + 1), high)
        total += timetable.cadence.count(found, low)
    raise SearchTooLong("the exclusions leave too many stretches to count")
