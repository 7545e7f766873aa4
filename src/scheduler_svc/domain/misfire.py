"""What becomes of occurrences that came due while nobody could claim them.

Pure: the occurrences that are due and the policy in, what to send and what to put in the ledger
out. A range is counted, never enumerated beyond the cap (DESIGN, "Misfire"). Lateness counts from
the sending time, so that a spread makes nothing late.
"""

from typing import Literal

from msgspec import Struct

from scheduler_svc.domain.duration import milliseconds
from scheduler_svc.domain.jobs import Misfire
from scheduler_svc.domain.occurrences import (
    Timetable,
    count_between,
    last_due,
    next_after,
    take,
)

CATCH_UP_MAX = 1000
"""How many runs of one job an outage leaves behind; the rest is in the ledger as `misfire`."""
CATCH_UP_STEP_MS = 100
"""Runs of one job that are caught up are due this far apart: ten a second."""
ON_TIME_MAX = 1000
DAY_MS = 86_400_000
COUNT_MAX = 2**31 - 1

Reason = Literal["misfire", "too_late", "merged", "max_runs"]


class Skipped(Struct, frozen=True):
    """A range of occurrences that end without being sent: one ledger row."""

    first_ms: int
    last_ms: int
    count: int
    reason: Reason


class Due(Struct, frozen=True):
    """What a pass makes of the occurrences due by now; `next_ms` is the first one it leaves."""

    on_time: list[int]
    catch_up: list[int]
    skipped: list[Skipped]
    next_ms: int | None
    cut: bool = False
    """More is due from `next_ms` on, and is left for the next pass."""


def judge(timetable: Timetable, policy: Misfire, *, first_ms: int, now_ms: int) -> Due:
    """Sort the occurrences from `first_ms` to now into on time, to catch up, and skipped.

    More than ON_TIME_MAX on time are left for the next pass: `next_ms` is then due already.
    """
    latest = last_due(timetable, now_ms)
    latest = first_ms if latest is None else max(first_ms, latest)
    missed = last_due(timetable, now_ms - milliseconds(policy.grace) - 1)
    if missed is None or missed < first_ms:
        on_time = _from(timetable, first_ms, latest)
        return Due(on_time, [], [], next_after(timetable, on_time[-1]))
    head = next_after(timetable, missed)
    on_time = [] if head is None or head > latest else _from(timetable, head, latest)
    catch_up, skipped = _missed(
        timetable, policy, first_ms, missed, now_ms, on_time_too=bool(on_time)
    )
    return Due(on_time, catch_up, skipped, next_after(timetable, (on_time or [missed])[-1]))


def ranges(timetable: Timetable, first_ms: int, last_ms: int, reason: Reason) -> list[Skipped]:
    """Count the occurrences in [first, last] into one row, or none where there are none."""
    if last_ms < first_ms:
        return []
    count, begin, end = count_between(timetable, first_ms - 1, last_ms, COUNT_MAX)
    if not count or begin is None or end is None:
        return []
    return [Skipped(begin, end, count, reason)]


def _from(timetable: Timetable, first_ms: int, latest: int) -> list[int]:
    """List the occurrences from the first one to the latest, at most ON_TIME_MAX."""
    found = [first_ms]
    while len(found) < ON_TIME_MAX:
        following = next_after(timetable, found[-1])
        if following is None or following > latest:
            break
        found.append(following)
    return found


def _missed(
    timetable: Timetable, policy: Misfire, first: int, last: int, now_ms: int, *, on_time_too: bool
) -> tuple[list[int], list[Skipped]]:
    """Apply the policy to [first, last], what is too late set aside before.

    Where no `max_lateness` is given only what would be sent is judged: `once` merges and `skip`
    skips occurrences of any age.
    """
    stale = _too_late_until(timetable, policy, last, now_ms, on_time_too=on_time_too)
    gone = [] if stale is None else ranges(timetable, first, min(stale, last), "too_late")
    start = first if stale is None else max(first, stale + 1)
    match policy.policy:
        case "skip":
            return [], gone + ranges(timetable, start, last, "misfire")
        case "once" if on_time_too:
            return [], gone + ranges(timetable, start, last, "merged")
        case "once" if last < start:
            return [], gone
        case "once":
            return [last], gone + ranges(timetable, start, last - 1, "merged")
        case "all":
            sent = [at for at in take(timetable, start - 1, CATCH_UP_MAX) if at <= last]
            rest = ranges(timetable, sent[-1] + 1, last, "misfire") if sent else []
            return sent, gone + rest


def _too_late_until(
    timetable: Timetable, policy: Misfire, last: int, now_ms: int, *, on_time_too: bool
) -> int | None:
    """Return the last occurrence that is beyond `max_lateness`; None where none is.

    Its default for `once`, the gap to the following occurrence, never bites, for that one lies
    in the future: a day does.
    """
    if policy.max_lateness is not None:
        return last_due(timetable, now_ms - milliseconds(policy.max_lateness) - 1)
    stale = last_due(timetable, now_ms - DAY_MS - 1)
    match policy.policy:
        case "all":
            return stale
        case "once" if stale is not None and stale >= last and not on_time_too:
            return stale
        case _:
            return None
