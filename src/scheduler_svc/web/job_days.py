"""The calendar of a job: what became of it on each day of the past weeks, and what is to come.

Days are those of the job's zone. What is to come is counted by the job's own schedule, by
arithmetic; a job that is paused or completed has nothing to come.
"""

import asyncio
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.domain.occurrences import Timetable, compile_schedule, count_between
from scheduler_svc.domain.zones import zone_info
from scheduler_svc.store import dashboard
from scheduler_svc.store.dashboard import DAY_RUNS_MAX, PastDay
from scheduler_svc.store.pool import transaction
from scheduler_svc.web import charts
from scheduler_svc.web.listed import schedule_of, zone_of
from scheduler_svc.web.visit import Visit, instant_of

PAST_WEEKS, COMING_WEEKS = 9, 5
COUNT_MAX = 100_000
WALKED_MAX = 2_000
"""Of a day, where occurrences are counted stretch by stretch: the loop also fires timers."""
HALF = 0.5


async def calendar(visit: Visit, job: Mapping[str, Any]) -> charts.Calendar:
    """Lay the past and the coming weeks of a job side by side."""
    zone = zone_info(zone_of(job))
    today = instant_of(visit.now).astimezone(zone).date()
    first = today - timedelta(weeks=PAST_WEEKS, days=today.weekday())
    count = (PAST_WEEKS + COMING_WEEKS + 1) * 7
    edges = [_midnight(first + timedelta(days=n), zone) for n in range(count + 1)]
    days = [first + timedelta(days=n) for n in range(count)]
    now_ms = visit.lent.now_ms()
    past = [(low, min(high, now_ms + 1)) for low, high in pairwise(edges)]
    found = await _past(visit, job, [span for span in past if span[0] < span[1]])
    coming = await _coming(job, edges, now_ms)
    return charts.calendar(
        [
            _cell(day, found.get(edges[n]), coming.get(edges[n]), _most(found), _top(coming))
            for n, day in enumerate(days)
        ],
        words=_words(found, coming),
    )


async def _past(
    visit: Visit, job: Mapping[str, Any], spans: list[tuple[int, int]]
) -> dict[int, PastDay]:
    if not visit.session.may("runs:read"):
        return {}
    async with transaction(visit.lent.pool) as conn:
        await dashboard.fresh_plans(conn)
        rows = await dashboard.runs_by_day(conn, UUID(job["id"]), spans)
    return {row.since_ms: row for row in rows}


async def _coming(job: Mapping[str, Any], edges: list[int], now_ms: int) -> dict[int, int]:
    """Count what the schedule names on each day from now on, with the loop free in between."""
    if job["state"] != "active":
        return {}
    counts = {}
    try:
        timetable = _timetable(job)
        walked = "cron" not in job["schedule"] and timetable.exclusion.patterns
        most = WALKED_MAX if walked else COUNT_MAX
        for low, high in pairwise(edges):
            if high > now_ms:
                after, until = max(low - 1, now_ms), high - 1
                counts[low] = count_between(timetable, after, until, most)[0]
                await asyncio.sleep(0)
    except ValueError:  # what no rule of today reads, or nobody can count
        return {}
    return counts


def _timetable(job: Mapping[str, Any]) -> Timetable:
    return compile_schedule(
        schedule_of(job), job_id=UUID(job["id"]), created_at=instant_of(job["created_at"])
    )


def _midnight(day: date, zone: Any) -> int:
    return epoch_ms(datetime.combine(day, time(), zone))


def _most(found: Mapping[int, PastDay]) -> int:
    return max((day.runs for day in found.values()), default=0)


def _top(coming: Mapping[int, int]) -> int:
    return max(coming.values(), default=0)


def _cell(
    day: date, was: PastDay | None, will: int | None, most: int, top: int
) -> tuple[date, str, str]:
    """Say how a day looks: what was wins over what is to come."""
    if was is not None:
        return day, _kind(was, most), f"{day:%a %d %b %Y}: {_told(was)}"
    if will:
        at_least = " or more" if will in {WALKED_MAX, COUNT_MAX} else ""
        return (
            day,
            f"next n{charts.level(will, top)}",
            f"{day:%a %d %b %Y}: {will:,}{at_least} to come",
        )
    return day, "none", f"{day:%a %d %b %Y}: no runs"


def _kind(was: PastDay, most: int) -> str:
    if was.failed:
        return "worse" if was.failed >= was.runs * HALF else "bad"
    return f"h{charts.level(was.runs, most)}"


def _told(was: PastDay) -> str:
    said = f"{was.runs} runs" if was.runs < DAY_RUNS_MAX else f"the last {was.runs} runs"
    parts = [
        f"{was.failed} failed" if was.failed else "",
        f"{was.skipped} skipped" if was.skipped else "",
    ]
    return ", ".join([said, *filter(None, parts)])


def _words(found: Mapping[int, PastDay], coming: Mapping[int, int]) -> str:
    bad = sum(1 for day in found.values() if day.failed)
    return (
        f"Runs by day. The past {PAST_WEEKS} weeks: {len(found)} days with runs, {bad} of them with"
        f" failures. The coming {COMING_WEEKS} weeks: {sum(coming.values()):,} to come."
    )
