"""A job: when it runs, how it went, what it is, who changed it, and what one can do with it."""

import asyncio
from typing import Any, get_args
from uuid import UUID

from scheduler_svc.domain.arming import Missed
from scheduler_svc.domain.jobs import Overlap
from scheduler_svc.store.dashboard import PastRun
from scheduler_svc.web import charts
from scheduler_svc.web.job_days import calendar
from scheduler_svc.web.listed import past_runs, rule_of, words_of, zone_of
from scheduler_svc.web.page import Page
from scheduler_svc.web.rendering import pretty
from scheduler_svc.web.visit import Shown, Visit, at, stamp_of
from scheduler_svc.web.wording import duration, instant

RUNS, CHARTED, UPCOMING, CHANGES = 15, 100, 8, 12
MISSED = {
    "skip": "Skip them: they are written down as skipped",
    "once": "Catch up once, for the latest of them",
    "all": "Catch up all of them, the oldest first",
}


async def show_job(visit: Visit) -> Shown:
    """Show a job; with `part=live` only what changes with its runs, for a page that is there."""
    job = await visit.get(at("jobs", visit.part("id")))
    ident = str(job["id"])
    upcoming, runs = await asyncio.gather(
        visit.get(at("jobs", ident, "upcoming"), {"count": UPCOMING}),
        visit.get_if_allowed(at("jobs", ident, "runs"), {"limit": RUNS}),
    )
    values = {
        "job": job,
        "words": words_of(job),
        "rule": rule_of(job),
        "zone": zone_of(job),
        "upcoming": upcoming["occurrences"] if job["state"] != "completed" else [],
        "runs": None if runs is None else runs["items"],
    }
    if visit.asked("part") == "live":
        return Shown(template="job_live.html", title="Job", values=values)
    more = await _more(visit, job)
    return Shown(template="job.html", title=job["name"] or "Job", values={**values, **more})


async def _more(visit: Visit, job: dict[str, Any]) -> dict[str, Any]:
    """Gather the rest of the page."""
    ident = str(job["id"])
    spec, changes, days, past = await asyncio.gather(
        visit.get(at("jobs", ident), {"view": "spec"}),
        _changes(visit, ident),
        calendar(visit, job),
        _past(visit, ident),
    )
    points = [run for run in reversed(past) if run.status in {"succeeded", "failed"}]
    return {
        "spec": spec,
        "changes": changes,
        "calendar": days,
        "lateness": charts.values("Lateness", [_point(run, run.lateness_ms) for run in points]),
        "durations": charts.values("Duration", [_point(run, run.duration_ms) for run in points]),
        "missed": {name: MISSED[name] for name in get_args(Missed)},
        "overlaps": get_args(Overlap),
        "writes": visit.session.may("jobs:write"),
        "listens": visit.session.may("events:read"),
    }


async def _past(visit: Visit, ident: str) -> list[PastRun]:
    if not visit.session.may("runs:read"):
        return []
    found = await past_runs(visit, [UUID(ident)], CHARTED)
    return list(found.get(UUID(ident), ()))


async def _changes(visit: Visit, ident: str) -> list[dict[str, Any]] | None:
    """Return what was done to the job itself, the newest first, for who may read the audit log."""
    if not visit.session.may("admin"):
        return None
    told = await visit.get_if_allowed(
        "/audit", {"resource": "job", "resource_id": ident, "limit": CHANGES}
    )
    return None if told is None else [_change(entry) for entry in told["items"]]


def _change(entry: dict[str, Any]) -> dict[str, Any]:
    """Lay both sides of a change beside each other, member by member."""
    before, after = entry["before"] or {}, entry["after"] or {}
    names = [*dict.fromkeys([*before, *after])]
    differing = [name for name in names if before.get(name) != after.get(name)]
    return {
        **entry,
        "members": [(name, _side(before, name), _side(after, name)) for name in differing],
        "verb": entry["action"].rpartition(".")[2].replace("_", " "),
    }


def _side(side: dict[str, Any], name: str) -> str:
    """Write a member of one side; the log has null for what was left to its default."""
    return "not set" if side.get(name) is None else pretty(side[name])


def _point(run: PastRun, value: int | None) -> tuple[str, float | None, bool]:
    title = f"{instant(stamp_of(run.scheduled_ms))}: {duration(value)}, {run.status}"
    return title, value, run.status == "failed"


PAGES = (Page(path="/ui/jobs/{id}", handler=show_job, within="Jobs"),)
