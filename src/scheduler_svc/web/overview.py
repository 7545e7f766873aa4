"""The overview: is it healthy, what runs, what failed, what comes next."""

import asyncio

from scheduler_svc.web.page import Page
from scheduler_svc.web.visit import Shown, Visit


async def overview(_visit: Visit) -> Shown:
    """Show the state of the service."""
    await asyncio.sleep(0)
    return Shown(template="overview.html", title="Overview")


PAGES = (Page(path="/ui", handler=overview, entry="Overview"),)
