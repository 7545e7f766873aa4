"""The list of jobs: search and filters, the next fire, the last runs as a strip; and the page on
which one thing is done to all that a filter matches.
"""

from typing import Any, get_args

from scheduler_svc.domain.jobs import JobState
from scheduler_svc.store.bulk_change import matching
from scheduler_svc.store.job_lists import JobFilter
from scheduler_svc.store.pool import transaction
from scheduler_svc.web.listed import asked, strips, words_of, zone_of
from scheduler_svc.web.page import Page
from scheduler_svc.web.rendering import ui
from scheduler_svc.web.visit import NotShown, Shown, Visit

LIMIT = 50
MATCHED_MAX = 100_000
SAMPLE = 10
FILTERS = ("q", "state", "label", "name_prefix")
SORTS = {
    "-created_at": "newest first",
    "created_at": "oldest first",
    "next_fire_at": "next to fire first",
    "name": "by name",
}
ACTIONS = {"pause": "Pause", "resume": "Resume", "trigger": "Run now", "delete": "Delete"}
EXPLAINED = {
    "pause": "Their cadence goes on; what passes meanwhile is written down as skipped.",
    "resume": "What passed while they were paused stays skipped.",
    "trigger": "Each runs once, now, beside its cadence; those whose overlap policy forbids it are"
    " left out.",
    "delete": "They fire no more. Their history stays until it is pruned.",
}


async def list_jobs(visit: Visit) -> Shown:
    """Show a page of jobs."""
    filters = asked(visit, *FILTERS)
    sort = visit.asked("sort") or "-created_at"
    cursor = visit.asked("cursor")
    query = {**filters, "sort": sort, "limit": LIMIT, "cursor": cursor}
    told = await visit.get("/jobs", query)
    jobs = told["items"]
    kept = {**filters, "sort": visit.asked("sort")}
    following = told["next_cursor"]
    return Shown(
        template="jobs.html",
        title="Jobs",
        values={
            "jobs": jobs,
            "words": {job["id"]: words_of(job) for job in jobs},
            "zones": {job["id"]: zone_of(job) for job in jobs},
            "strips": await strips(visit, jobs),
            "filters": {name: filters.get(name, "") for name in FILTERS},
            "filtered": bool(filters),
            "states": get_args(JobState),
            "sort": sort,
            "sorts": SORTS,
            "actions": ACTIONS if visit.session.may("jobs:write") else {},
            "first": ui("jobs", **kept) if cursor else None,
            "following": ui("jobs", **kept, cursor=following) if following else None,
            "listens": visit.session.may("events:read"),
        },
    )


async def bulk(visit: Visit) -> Shown:
    """Ask once more before something is done to many jobs, with their number to confirm."""
    action = visit.asked("action")
    if action not in ACTIONS:
        raise NotShown(404, "There is no such action.")
    filters = asked(visit, *FILTERS)
    # The list judges the filter, and whether the caller may see what it matches.
    told = await visit.get("/jobs", {**filters, "limit": SAMPLE})
    count = await _count(visit, filters)
    return Shown(
        template="bulk.html",
        title=f"{ACTIONS[action]}: many jobs",
        values={
            "action": action,
            "verb": ACTIONS[action],
            "explained": EXPLAINED[action],
            "filters": filters,
            "count": count,
            "too_many": count > MATCHED_MAX,
            "sample": told["items"],
            "back": ui("jobs", **filters),
        },
    )


async def _count(visit: Visit, filters: dict[str, str]) -> int:
    key, _, value = filters.get("label", "").partition(":")
    given: dict[str, Any] = {name: filters[name] for name in filters if name != "label"}
    wanted = JobFilter(
        namespace=visit.namespace,
        state=given.get("state"),
        labels={key: value} if key else {},
        name_prefix=given.get("name_prefix"),
        q=given.get("q"),
    )
    async with transaction(visit.lent.pool) as conn:
        return len(await matching(conn, wanted, at_most=MATCHED_MAX + 1))


PAGES = (
    Page(path="/ui/jobs", handler=list_jobs, entry="Jobs"),
    Page(path="/ui/jobs/bulk", handler=bulk, within="Jobs"),
)
