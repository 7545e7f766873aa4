"""Dead letters: runs that failed for good, and sending them again, counted before.

What is listed and what is sent again go by one filter. The page asks the API for the count before
anything is sent, and brings it along: where another number matches by then, nothing is sent.
"""

from typing import Any, Final

from scheduler_svc.web.instants import from_field
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit, at

PAGE_LENGTH: Final = 50
REPLAYS_SHOWN: Final = 5
TRIGGERS: Final = ("schedule", "manual", "backfill", "catch_up", "replay")
Json = dict[str, Any]


async def show_dead_letters(visit: Visit) -> Shown:
    """List failed runs that match the filter, and the replays that were asked for lately."""
    asked = {name: visit.asked(name).strip() for name in ("job", "since", "until", "trigger")}
    job: Json | None = None
    if asked["job"]:
        job = await visit.get_if_allowed(at("jobs", asked["job"]))
    wanted = {
        "since": from_field(asked["since"]),
        "until": from_field(asked["until"]),
        "trigger": asked["trigger"] if asked["trigger"] in TRIGGERS else "",
    }
    wanted = {name: value for name, value in wanted.items() if value}
    if asked["job"]:
        # Of a deleted job there is no name any more, and its history goes by its id.
        wanted["job_id"] = asked["job"] if job is None else job["id"]
    query = wanted | {"cursor": visit.asked("cursor"), "limit": PAGE_LENGTH, "status": "failed"}
    listed: Json = await visit.get("/runs", query)
    replays: Json = await visit.get("/replays", {"limit": REPLAYS_SHOWN})
    values = {
        "asked": asked,
        "triggers": TRIGGERS,
        "filter": {"status": "failed"} | wanted,
        "runs": listed["items"],
        "next_cursor": listed["next_cursor"],
        "is_filtered": bool(wanted),
        "replays": replays["items"],
        "may_write": visit.session.may("runs:write"),
    }
    return Shown(template="dead_letters.html", title="Dead letters", values=values)


PAGES = (Page(path="/ui/dead-letters", handler=show_dead_letters, entry="Dead letters"),)
