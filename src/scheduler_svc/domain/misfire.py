"""What becomes of occurrences that came due while nobody could claim them.

Pure: the occurrences that are due and the policy in, what to send and what to put in the ledger
out. A range is counted, never enumerated beyond the cap (DESIGN, "Misfire").
"""

from typing import Literal

from msgspec import Struct

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Misfire
from scheduler_svc.domain.occurrences import (
    Timetable,
    count_between,
    next_after,
    previous_before_or_at,
    take,
)

CATCH_UP_MAX = 1000
ON_TIME_MAX = 1000
DAY_MS = 86_400_000
COUNT_MAX = 50_000_000


class Skipped(Struct, frozen=True):
    """A range of occurrences that end without being sent: one ledger row."""

    first_ms: int
    last_ms: int
    count: int
    reason: Literal["misfire", "too_late", "merged"]


class Due(Struct, frozen=True):
    """What a pass makes of all occurrences due by now."""

    on_time: list[int]
    catch_up: list[int]
    skipped: list[Skipped]
    next_ms: int | None


def judge(
    timetable: Timetable, policy: Misfire, *, first_ms: int, spread_ms: int, now_ms: int
) -> Due:
    """Sort the occurrences from `first_ms` to now into on time, to catch up, and skipped."""
    latest = now_ms - spread_ms
    grace_end = latest - milliseconds(policy.grace)
    if first_ms >= grace_end:
        on_time = _upto(timetable, first_ms, latest)
        return Due(on_time, [], [], next_after(timetable, on_time[-1] if on_time else first_ms))
    head = next_after(timetable, grace_end - 1)
    on_time = [] if head is None or head > latest else _upto(timetable, head, latest)
    last_missed = previous_before_or_at(timetable, grace_end - 1)
    if last_missed is None or last_missed < first_ms:
        last_missed = first_ms
    catch_up, skipped = _missed(
        timetable, policy, first_ms, last_missed, latest, on_time_too=bool(on_time)
    )
    return Due(on_time, catch_up, skipped, next_after(timetable, max(latest, last_missed)))


def _upto(timetable: Timetable, first_ms: int, latest: int) -> list[int]:
    """List the occurrences from the first one to the latest instant, at most ON_TIME_MAX."""
    found = [first_ms]
    while len(found) < ON_TIME_MAX:
        following = next_after(timetable, found[-1])
        if following is None or following > latest:
            break
        found.append(following)
    return found


def _missed(
    timetable: Timetable,
    policy: Misfire,
    first: int,
    last: int,
    latest: int,
    *,
    on_time_too: bool,
) -> tuple[list[int], list[Skipped]]:
    oldest = latest - _lateness_max(policy)
    match policy.policy:
        case "skip":
            return [], _ranges(timetable, first, last, "misfire")
        case "once" if on_time_too:
            return [], _ranges(timetable, first, last, "merged")
        case "once" if last < oldest:
            return [], _ranges(timetable, first, last, "too_late")
        case "once":
            return [last], _ranges(timetable, first, last - 1, "merged")
        case "all":
            start = max(first, oldest)
            sent = [at for at in take(timetable, start - 1, CATCH_UP_MAX) if at <= last]
            skipped = _ranges(timetable, first, min(start - 1, last), "too_late")
            if sent:
                skipped += _ranges(timetable, sent[-1] + 1, last, "misfire")
            return sent, skipped


def _lateness_max(policy: Misfire) -> int:
    """The gap to the following occurrence never bites where it is in the future, so a day does."""
    return DAY_MS if policy.max_lateness is None else milliseconds(policy.max_lateness)


def _ranges(
    timetable: Timetable,
    first: int,
    last: int,
    reason: Literal["misfire", "too_late", "merged"],
) -> list[Skipped]:
    if last < first:
        return []
    count, begin, end = count_between(timetable, first - 1, last, COUNT_MAX)
    if not count or begin is None or end is None:
        return []
    return [Skipped(begin, end, count, reason)]
