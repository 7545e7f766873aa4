"""Explain: pick an instant of a job, and get what became or becomes of it, and by which rule.

A plain form: it works without a script. A time without an offset is of the job's own zone.
"""

from datetime import UTC, tzinfo
from typing import Any

from scheduler_svc.domain.zones import zone_info, zone_names
from scheduler_svc.web.instants import as_field, later, read
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit, at

RUNS_SHOWN, UPCOMING_SHOWN = 8, 5
BADGES = {"fired": "succeeded", "fires": "due", "skipped": "skipped", "never": "none"}
WORDS = {
    "fired": "It was sent.",
    "fires": "It will be sent.",
    "skipped": "It is skipped.",
    "never": "Nothing runs then.",
}
Json = dict[str, Any]


async def show_explanation(visit: Visit) -> Shown:
    """Explain an instant; without one only ask for it."""
    ident = visit.part("id")
    job: Json = await visit.get(at("jobs", ident))
    zone = _zone(job["schedule"]["timezone"])
    asked = visit.asked("at").strip()
    found = read(asked, zone) if asked else None
    told: Json | None = None
    fault = None if found is None else found.fault
    if found is not None and found.stamp is not None:
        answered = await visit.answer(at("jobs", ident, "explain"), {"at": found.stamp})
        if answered.status == 422:  # noqa: PLR2004 - the one refusal that the form is to show
            fault = str(answered.body.get("detail", "This instant can not be explained."))
        else:
            told = await visit.get(at("jobs", ident, "explain"), {"at": found.stamp})
    around = visit.now if told is None else str(told["at"])
    runs = await _runs(visit, ident, around)
    values = {
        "job": job,
        "zone": job["schedule"]["timezone"],
        "field": _field(asked, around, zone),
        "told": told,
        "verdict": None if told is None else WORDS[told["verdict"]],
        "note": None if found is None else found.note,
        "fault": fault,
        "status": None if told is None else _status(told, runs),
        "runs": runs,
        "upcoming": await _upcoming(visit, ident, around),
    }
    return Shown(
        template="explain.html", title=f"Explain {job['name'] or job['id']}", values=values
    )


def _zone(name: str) -> tzinfo:
    """Return the job's zone; UTC for one that the rules of today do not know any more."""
    return zone_info(name) if name in zone_names() else UTC


def _field(asked: str, around: str, zone: tzinfo) -> str:
    """Write what the field holds: what was asked for, or else now."""
    found = read(asked, zone) if asked else None
    if found is not None and found.stamp is not None:
        return as_field(found.stamp, zone)
    return as_field(around, zone)


def _status(told: Json, runs: list[Json]) -> str:
    """Return the state that colours the verdict: that of the run, where there is one."""
    states = {str(run["id"]): str(run["status"]) for run in runs}
    return states.get(str(told["run_id"]), BADGES[told["verdict"]])


async def _runs(visit: Visit, ident: str, around: str) -> list[Json]:
    """List what is on record up to the instant."""
    query = {"until": later(around, 1), "limit": RUNS_SHOWN}
    listed: Json | None = await visit.get_if_allowed(at("jobs", ident, "runs"), query)
    return [] if listed is None else list(listed["items"])


async def _upcoming(visit: Visit, ident: str, around: str) -> list[Json]:
    """List what the schedule names after the instant."""
    query = {"from": around, "count": UPCOMING_SHOWN}
    listed: Json = await visit.get(at("jobs", ident, "upcoming"), query)
    return list(listed["occurrences"])


PAGES = (Page(path="/ui/jobs/{id}/explain", handler=show_explanation, within="Jobs"),)
