"""A new job and an edit: one form, with the whole definition as JSON beside it.

The page brings the definition and the choices; what a schedule means, what is wrong with a job and
what an edit would change is asked of the API while somebody types, by `jobform.js`.
"""

from typing import Any, Final

from scheduler_svc.domain.zones import zone_names
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit, at

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OVERLAPS: Final = {
    "skip": "skip the new one",
    "queue": "let one wait",
    "cancel": "cancel the running one",
    "allow": "run them side by side",
}
BLANK: Final[dict[str, Any]] = {
    "schedule": {"cron": "0 9 * * MON-FRI", "timezone": "UTC"},
    "target": {"url": "", "method": "POST"},
}
Json = dict[str, Any]


async def show_new_job(visit: Visit) -> Shown:
    """Show the form with a job to begin with: a blank one, or a copy of another."""
    spec: Json = BLANK
    copied = visit.asked("copy").strip()
    if copied:
        spec = dict(await visit.get(at("jobs", copied), {"view": "spec"}))
        spec.pop("name", None)
    return Shown(template="job_new.html", title="New job", values=_values(visit, spec))


async def show_edit(visit: Visit) -> Shown:
    """Show the form with a job as it is, and the ETag that says which revision that was."""
    path = at("jobs", visit.part("id"))
    answered = await visit.answer(path)
    job: Json = answered.body if answered.status == 200 else await visit.get(path)  # noqa: PLR2004
    spec: Json = await visit.get(at("jobs", job["id"]), {"view": "spec"})
    values = _values(visit, spec) | {"job": job, "etag": answered.headers.get("etag", "")}
    return Shown(template="job_edit.html", title=f"Edit {job['name'] or job['id']}", values=values)


def _values(visit: Visit, spec: Json) -> Json:
    return {
        "spec": spec,
        "methods": METHODS,
        "overlaps": OVERLAPS,
        "zones": sorted(zone_names()),
        "may_write": visit.session.may("jobs:write"),
    }


PAGES = (
    Page(path="/ui/jobs/new", handler=show_new_job, entry="New job"),
    Page(path="/ui/jobs/{id}/edit", handler=show_edit, within="Jobs"),
)
