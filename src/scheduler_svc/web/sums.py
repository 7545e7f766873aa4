"""Sums over the history and the time ahead, counted once where the answer can not change any more.

Promises that a page never counts an hour twice: minutes that are over are counted once, and what
lies ahead is asked of the forecast at most once in some minutes.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.store import dashboard
from scheduler_svc.store.dashboard import OpenRuns, Pulse
from scheduler_svc.store.pool import Connection, transaction
from scheduler_svc.web.remembered import Ahead, JobCount
from scheduler_svc.web.visit import NotShown, Visit, instant_of, stamp_of

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
PAST_MS, AHEAD_MS = HOUR_MS, 2 * HOUR_MS
OPEN_MS = 2 * MINUTE_MS
"""How long a minute is counted anew after it is over: claims come late, now and then."""
PULSE_MS = 15 * MINUTE_MS
OVERDUE_MS = 10_000
FRESH_MS = 5 * MINUTE_MS
MANY_JOBS, COUNTED_MS = 10_000, 30_000
"""So many jobs are counted once in a while: a fifth of a microsecond each."""
FEW_JOBS = 2_000
"""What so many jobs fire is foreseen while the page waits."""


class Sums(Struct, frozen=True, kw_only=True):
    """What the overview counts."""

    fires: Mapping[int, int]
    failures: Mapping[int, int]
    pulse: Pulse
    open: OpenRuns
    overdue: int
    jobs: Mapping[str, int]


async def sums(visit: Visit) -> Sums:
    """Count what the overview shows of a namespace."""
    namespace, now_ms = visit.namespace, visit.lent.now_ms()
    since_ms = minute_of(now_ms) - PAST_MS
    async with transaction(visit.lent.pool) as conn:
        await dashboard.fresh_plans(conn)
        return Sums(
            fires=await _fires(conn, visit, since_ms, now_ms),
            failures=await dashboard.failures_by_minute(
                conn, namespace, since_ms=since_ms, until_ms=now_ms
            ),
            pulse=await dashboard.recent_pulse(
                conn, namespace, since_ms=now_ms - PULSE_MS, until_ms=now_ms
            ),
            open=await dashboard.open_runs(conn, namespace, now_ms=now_ms),
            overdue=await dashboard.overdue_jobs(conn, namespace, before_ms=now_ms - OVERDUE_MS),
            jobs=await _jobs(conn, visit, now_ms),
        )


async def _fires(conn: Connection, visit: Visit, since_ms: int, now_ms: int) -> dict[int, int]:
    """Count the minutes that are not known yet; remember those that are over."""
    remembered = visit.lent.remembered.fires
    known = {
        at: count for at, count in (remembered.get(visit.namespace) or {}).items() if at >= since_ms
    }
    from_ms = max([since_ms, *(at + MINUTE_MS for at in known)])
    found = await dashboard.fires_by_minute(
        conn, visit.namespace, since_ms=from_ms, until_ms=now_ms
    )
    over = range(from_ms, minute_of(now_ms - OPEN_MS), MINUTE_MS)
    remembered.put(visit.namespace, known | {at: found.get(at, 0) for at in over})
    return {at: count for at, count in (known | found).items() if count}


async def _jobs(conn: Connection, visit: Visit, now_ms: int) -> Mapping[str, int]:
    """Count the jobs; where there are many, not at each look."""
    remembered = visit.lent.remembered.jobs
    known = remembered.get(visit.namespace)
    if known is not None and now_ms - known.at_ms < COUNTED_MS:
        return known.states
    states = await dashboard.count_jobs(conn, visit.namespace)
    if sum(states.values()) > MANY_JOBS:
        remembered.put(visit.namespace, JobCount(at_ms=now_ms, states=states))
    return states


def known_ahead(visit: Visit) -> Ahead | None:
    """Return what was foreseen a while ago; None where that is too long ago, or not to be seen."""
    if not visit.session.may("jobs:read"):
        return None
    found = visit.lent.remembered.ahead.get(visit.namespace)
    return found if found is not None and visit.lent.now_ms() - found.at_ms < FRESH_MS else None


async def ahead(visit: Visit) -> Ahead | None:
    """Foresee the coming hours; None where the caller may not, or it is too much to count."""
    async with visit.lent.remembered.turn:
        if (found := known_ahead(visit)) is not None:
            return found
        now_ms = visit.lent.now_ms()
        # So far that it still reaches over the two hours when it has become too old.
        window = {"from": stamp_of(now_ms), "to": stamp_of(now_ms + AHEAD_MS + FRESH_MS)}
        try:
            told = await visit.get("/forecast", window)
        except NotShown:
            return None
        made = Ahead(at_ms=now_ms, minutes=_minutes_of(told))
        visit.lent.remembered.ahead.put(visit.namespace, made)
        return made


def minute_of(ms: int) -> int:
    """Return the beginning of the minute that an instant lies in."""
    return ms - ms % MINUTE_MS


def _minutes_of(told: Any) -> dict[int, int]:
    return {minute_of(epoch_ms(instant_of(one["at"]))): one["count"] for one in told["minutes"]}
