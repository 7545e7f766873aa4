"""The list of runs: by status, trigger, job and time, the newest first."""

from typing import Any, get_args
from uuid import UUID

from scheduler_svc.domain.runs import RunStatus, Trigger
from scheduler_svc.web.listed import asked
from scheduler_svc.web.page import Page
from scheduler_svc.web.rendering import ui
from scheduler_svc.web.visit import OK, Shown, Visit, at

LIMIT = 50
FILTERS = ("status", "trigger", "job", "since", "until")
MINUTES_LONG = len("2026-01-05T09:00")


async def list_runs(visit: Visit) -> Shown:
    """Show a page of runs."""
    filters = asked(visit, *FILTERS)
    cursor = visit.asked("cursor")
    query = {
        "status": filters.get("status"),
        "trigger": filters.get("trigger"),
        "since": _instant(filters.get("since")),
        "until": _instant(filters.get("until")),
        "limit": LIMIT,
        "cursor": cursor,
    }
    job, job_id = await _job(visit, filters.get("job"))
    if job_id is None and "job" in filters:
        told: Any = {"items": [], "next_cursor": None}
    else:
        told = await visit.get("/runs", {**query, "job_id": job_id})
    following = told["next_cursor"]
    return Shown(
        template="runs.html",
        title="Runs",
        values={
            "runs": told["items"],
            "filters": {name: filters.get(name, "") for name in FILTERS},
            "filtered": bool(filters),
            "job": job,
            "no_job": job_id is None and "job" in filters,
            "statuses": get_args(RunStatus),
            "triggers": get_args(Trigger),
            "first": ui("runs", **filters) if cursor else None,
            "following": ui("runs", **filters, cursor=following) if following else None,
            "listens": visit.session.may("events:read") and not cursor,
        },
    )


async def _job(visit: Visit, given: str | None) -> tuple[dict[str, object] | None, str | None]:
    """Find a job by its name or id; one that was deleted still has its id."""
    if given is None:
        return None, None
    found = None if "/" in given else await visit.answer(at("jobs", given))
    if found is not None and found.status in OK:
        return found.body, found.body["id"]
    try:
        return None, str(UUID(given))
    except ValueError:
        return None, None


def _instant(given: str | None) -> str | None:
    """Read what a field for date and time gives, which knows no zone: it is UTC."""
    return f"{given}:00Z" if given is not None and len(given) == MINUTES_LONG else given


PAGES = (Page(path="/ui/runs", handler=list_runs, entry="Runs"),)
