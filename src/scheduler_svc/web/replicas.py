"""The replicas: who is alive, how much each has to do, and whether clocks and versions agree."""

from typing import Any, Final

from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit

OFFSET_MS_MAX: Final = 500.0
"""Beyond it a clock is worth a look. Nothing fires by it: replicas go by the database's."""
Json = dict[str, Any]


async def show_replicas(visit: Visit) -> Shown:
    """List the replicas that are alive."""
    listed: Json = await visit.get("/replicas")
    found: list[Json] = listed["items"]
    values = {
        "replicas": found,
        "versions": sorted({one["version"] for one in found}),
        "engines": sum(one["role"] != "api" for one in found),
        "slots": sum(one["slots"] for one in found),
        "running": sum(one["running"] for one in found),
        "offset_ms_max": OFFSET_MS_MAX,
    }
    return Shown(template="replicas.html", title="Replicas", values=values)


PAGES = (Page(path="/ui/replicas", handler=show_replicas, entry="Replicas"),)
