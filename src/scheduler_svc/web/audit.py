"""The audit log: who changed what, when and from where, newest first and page by page."""

from typing import Any, Final, get_args

from scheduler_svc.domain.audit import Action, ResourceKind
from scheduler_svc.web.instants import from_field
from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit

FILTERS: Final = ("action", "actor", "resource", "resource_id", "job", "request_id")
PAGE_LENGTH: Final = 50
Json = dict[str, Any]


async def show_audit(visit: Visit) -> Shown:
    """List entries of the log that match the filters."""
    asked = {name: visit.asked(name).strip() for name in FILTERS}
    span = {name: visit.asked(name).strip() for name in ("since", "until")}
    query = asked | {name: from_field(text) for name, text in span.items()}
    cursor = visit.asked("cursor")
    listed: Json = await visit.get("/audit", query | {"cursor": cursor, "limit": PAGE_LENGTH})
    values = {
        "items": listed["items"],
        "next_cursor": listed["next_cursor"],
        "asked": asked | span,
        "is_filtered": any(asked.values()) or any(span.values()),
        "is_first": not cursor,
        "actions": [str(action) for action in Action],
        "kinds": get_args(ResourceKind),
    }
    return Shown(template="audit.html", title="Audit", values=values)


PAGES = (Page(path="/ui/audit", handler=show_audit, entry="Audit"),)
