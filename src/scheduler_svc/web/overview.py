"""The overview: is it healthy, what runs, what failed, what comes next.

Promises an answer of bounded cost. What lies ahead of many jobs takes seconds to count: it is left
to a part of the page that is asked for once the page is there (`/ui/ahead`).
"""

import asyncio
from typing import Any

from msgspec import Struct

from scheduler_svc.domain.ids import epoch_ms
from scheduler_svc.web import charts
from scheduler_svc.web.page import Page
from scheduler_svc.web.remembered import Ahead
from scheduler_svc.web.sums import (
    AHEAD_MS,
    FEW_JOBS,
    PAST_MS,
    Sums,
    ahead,
    known_ahead,
    minute_of,
    sums,
)
from scheduler_svc.web.visit import FORBIDDEN, NotShown, Shown, Visit, instant_of

FAILED, NEXT, HAPPENED = 8, 10, 14
LATE_MS = 1_000
FAILING = 0.05
WINDOWS = (
    (120_000, "2 minutes"),
    (600_000, "10 minutes"),
    (3_600_000, "hour"),
    (21_600_000, "6 hours"),
    (86_400_000, "day"),
    (604_800_000, "week"),
)


class Finding(Struct, frozen=True, kw_only=True):
    """Something that whoever is responsible should look at."""

    grade: str
    text: str


async def overview(visit: Visit) -> Shown:
    """Show the state of the service."""
    may = visit.session.may
    counted, ready, replicas, failed, coming, happened = await asyncio.gather(
        sums(visit) if may("runs:read") else _nothing(),
        visit.answer("/readyz"),
        visit.get_if_allowed("/replicas"),
        visit.get_if_allowed("/runs", {"status": "failed", "limit": FAILED}),
        visit.get_if_allowed("/jobs", {"state": "active", "sort": "next_fire_at", "limit": NEXT}),
        visit.get_if_allowed("/runs", {"limit": HAPPENED}),
    )
    checks = (ready.body or {}).get("checks", {})
    few = counted is not None and sum(counted.jobs.values()) <= FEW_JOBS and may("jobs:read")
    foreseen = await ahead(visit) if few else known_ahead(visit)
    return Shown(
        template="overview.html",
        title="Overview",
        values={
            "sums": counted,
            "checks": checks,
            "replicas": None if replicas is None else replicas["items"],
            "findings": _findings(checks, counted, replicas),
            "failed": None if failed is None else failed["items"],
            "timeline": None if coming is None else _timeline(visit, coming["items"]),
            "happened": None if happened is None else happened["items"],
            "chart": None if counted is None else _chart(visit, counted, foreseen),
            "pending": foreseen is None and may("jobs:read"),
            "listens": may("events:read"),
        },
    )


async def coming_hours(visit: Visit) -> Shown:
    """Show the chart once more, with what lies ahead."""
    if not visit.session.may("runs:read"):
        raise NotShown(FORBIDDEN, "This needs the scope runs:read.")
    counted = await sums(visit)
    foreseen = await ahead(visit)
    values = {"chart": _chart(visit, counted, foreseen), "pending": False}
    return Shown(template="ahead.html", title="The coming hours", values=values)


async def _nothing() -> None:
    """Count nothing, for callers who may not see it."""


def _findings(
    checks: dict[str, Any], counted: Sums | None, replicas: dict[str, Any] | None
) -> list[Finding]:
    """Say what is not as it should be."""
    found = [
        Finding(grade="bad", text=f"The check of the {name} fails{_detail(one)}")
        for name, one in checks.items()
        if one["status"] != "ok"
    ]
    if held := checks.get("engine", {}).get("namespaces_held", 0):
        text = (
            f"{held} namespaces are held after a restore: nothing of theirs is sent until released."
        )
        found.append(Finding(grade="bad", text=text))
    if replicas is not None and not any(one["slots"] for one in replicas["items"]):
        found.append(
            Finding(grade="bad", text="No replica sends anything: start one with an engine.")
        )
    return found if counted is None else [*found, *_of_sums(counted)]


def _detail(check: dict[str, Any]) -> str:
    return f": {check['detail']}" if check.get("detail") else "."


def _of_sums(counted: Sums) -> list[Finding]:
    found = []
    pulse = counted.pulse
    if counted.overdue:
        text = f"{counted.overdue:,} jobs are overdue by more than 10 s and were not claimed."
        found.append(Finding(grade="bad", text=text))
    if pulse.p99_ms is not None and pulse.p99_ms > LATE_MS:
        text = f"One run in a hundred goes out {pulse.p99_ms:,} ms late or more."
        found.append(Finding(grade="warn", text=text))
    if pulse.ended and pulse.failed / pulse.ended > FAILING:
        text = f"{pulse.failed:,} of the last {pulse.ended:,} runs failed."
        found.append(Finding(grade="warn", text=text))
    return found


def _chart(visit: Visit, counted: Sums, foreseen: Ahead | None) -> charts.Bars:
    now_ms = visit.lent.now_ms()
    since_ms = minute_of(now_ms) - PAST_MS
    until_ms = minute_of(now_ms) + AHEAD_MS
    soon = {} if foreseen is None else foreseen.minutes
    return charts.minutes(
        counted.fires,
        counted.failures,
        {at: count for at, count in soon.items() if minute_of(now_ms) < at < until_ms},
        since_ms=since_ms,
        now_ms=now_ms,
        until_ms=until_ms,
    )


def _timeline(visit: Visit, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Lay what is next along a line that is long enough for most of it."""
    now_ms = visit.lent.now_ms()
    lasts = sorted(
        epoch_ms(instant_of(job["upcoming"][-1])) - now_ms for job in jobs if job["upcoming"]
    )
    reach = lasts[len(lasts) // 2] if lasts else 0
    window_ms, name = next((one for one in WINDOWS if one[0] >= reach), WINDOWS[-1])
    rows = []
    for job in jobs:
        instants = [epoch_ms(instant_of(at)) - now_ms for at in job["upcoming"]]
        places = [round(100 * at / window_ms, 2) for at in instants if 0 <= at <= window_ms]
        rows.append({"job": job, "places": places})
    return {"rows": rows, "window": name}


PAGES = (
    Page(path="/ui", handler=overview, entry="Overview"),
    Page(path="/ui/ahead", handler=coming_hours, within="Overview"),
)
