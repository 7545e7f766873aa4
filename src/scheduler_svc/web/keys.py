"""The API keys: who may do what, until when; made, replaced and revoked here.

A key itself passes through this page once, when it is made, and never through its address.
"""

from typing import Any

from scheduler_svc.domain.access import SCOPES
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit

Json = dict[str, Any]
SCOPE_WORDS = {
    "jobs:read": "see jobs, explain and forecast",
    "jobs:write": "create, change, pause, run and delete jobs",
    "runs:read": "see runs, backfills and replays",
    "runs:write": "cancel and replay runs",
    "events:read": "watch events and metrics",
    "admin": "all of these, keys and the audit log too",
}


async def show_keys(visit: Visit) -> Shown:
    """List the keys, a page at a time."""
    listed: Json = await visit.get("/api-keys", {"cursor": visit.asked("cursor")})
    values = {
        "keys": listed["items"],
        "next_cursor": listed["next_cursor"],
        "scopes": [(scope, SCOPE_WORDS[scope]) for scope in SCOPES],
        "is_bound": visit.session.namespace != "*",
    }
    return Shown(template="keys.html", title="API keys", values=values)


PAGES = (Page(path="/ui/keys", handler=show_keys, entry="Keys"),)
