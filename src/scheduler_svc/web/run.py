"""A run: what was sent, what came back, how long each part took, and why it ended so.

What was sent is not kept; the page shows what the job says now, and tells where that has changed
since. Responses are shown as the API gives them: redacted, cut, and as text.
"""

import json
from typing import Any, Final

from scheduler_svc.web.page import Page
from scheduler_svc.web.run_timeline import line, phases
from scheduler_svc.web.visit import Shown, Visit, at

UNFINISHED: Final = ("due", "running")
Json = dict[str, Any]


async def show_run(visit: Visit) -> Shown:
    """Show one run with all its attempts."""
    run: Json = await visit.get(at("runs", visit.part("id")))
    job: Json | None = await visit.get_if_allowed(at("jobs", run["job_id"]))
    values = {
        "run": run,
        "job": job,
        "line": line(run),
        "attempts": [_attempt(one) for one in run["attempts"]],
        "sent": None if job is None or run["trigger"] == "alert" else _sent(run, job),
        "changed": job is not None and _changed(run, job),
        "why": await _why(visit, run) if job is not None else None,
        "is_unfinished": run["status"] in UNFINISHED,
        "may_write": visit.session.may("runs:write"),
    }
    name = run["job_name"] or run["job_id"]
    return Shown(template="run.html", title=f"Run of {name}", values=values)


def _attempt(one: Json) -> Json:
    response: Json | None = one["response"]
    return {
        **one,
        "phases": phases(one),
        "headers": [] if response is None else sorted(response["headers"].items()),
        "body": None if response is None else _body(response),
    }


def _body(response: Json) -> Json | None:
    """Tell how a body is shown: JSON laid out, other text as it is, bytes as base64."""
    text, coded = response.get("body"), response.get("body_base64")
    if coded is not None:
        return {"kind": "base64", "text": coded}
    if not text:
        return None
    try:
        laid_out = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return {"kind": "text", "text": text}
    return {"kind": "json", "text": laid_out}


def _sent(run: Json, job: Json) -> Json:
    """Write the request as the job says it now, with what the service adds."""
    target = job["target"]
    added = {
        "Idempotency-Key": run["id"],
        "webhook-id": run["id"],
        "Scheduler-Job": run["job_id"],
        "Scheduler-Scheduled-For": run["scheduled_for"],
        "Scheduler-Attempt": str(max(1, run["attempt_count"])),
        "Scheduler-Trigger": run["trigger"],
    }
    return {
        "method": target["method"],
        "url": target["url"],
        "headers": sorted(target["headers"].items()),
        "added": list(added.items()),
        "body": target.get("body"),
        "bytes": target.get("body_base64"),
    }


def _changed(run: Json, job: Json) -> bool:
    """Tell whether the job was changed after the run began."""
    began = run["started_at"] or run["claimed_at"]
    return began is not None and str(job["updated_at"]) > str(began)


async def _why(visit: Visit, run: Json) -> str | None:
    """Return the sentence of explain, where it speaks of this very run."""
    path = at("jobs", run["job_id"], "explain")
    told: Json | None = await visit.get_if_allowed(path, {"at": run["scheduled_for"]})
    if told is None or told["run_id"] != run["id"]:
        return None
    return str(told["detail"])


PAGES = (Page(path="/ui/runs/{id}", handler=show_run, within="Runs"),)
