"""Every page of the dashboard, in the order of the navigation.

A module of pages has a tuple PAGES; it is listed here and nowhere else.
"""

from starlette.routing import Route

from scheduler_svc.web import (
    audit,
    dead_letters,
    explain,
    forecast,
    job,
    job_form,
    jobs,
    keys,
    overview,
    replicas,
    run,
    runs,
)
from scheduler_svc.web.assets import Assets
from scheduler_svc.web.lent import Lent
from scheduler_svc.web.login import login_route
from scheduler_svc.web.page import Entry, Frame, Page, nothing_here
from scheduler_svc.web.rendering import Templates

PAGES: tuple[Page, ...] = (
    *overview.PAGES,
    *jobs.PAGES,
    *job.PAGES,
    *runs.PAGES,
    *run.PAGES,
    *job_form.PAGES,
    *explain.PAGES,
    *forecast.PAGES,
    *dead_letters.PAGES,
    *replicas.PAGES,
    *audit.PAGES,
    *keys.PAGES,
)
NAVIGATION = (
    *("Overview", "Jobs", "Runs", "Dead letters", "Forecast"),
    *("Replicas", "Audit", "Keys", "New job"),
)
"""The order of the navigation; what has no page does not stand there."""
ELSE = Page(path="/ui/{rest:path}", handler=nothing_here)


def pages(lent: Lent | None = None) -> list[Route]:
    """Return the routes; without something lent, of the login alone. Templates are read now."""
    assets = Assets()
    templates = Templates(assets)
    always = [assets.route(), login_route(templates)]
    if lent is None:
        return always
    frame = Frame(lent, templates, entries(PAGES))
    # A fixed path goes before one with a place in it, whoever lists it first.
    ordered = sorted(PAGES, key=lambda page: "{" in page.path)
    return [*always, *(frame.route(page) for page in (*ordered, ELSE))]


def entries(listed: tuple[Page, ...]) -> tuple[Entry, ...]:
    """Return the lines of the navigation."""
    found = {page.entry: page.path for page in listed if page.entry is not None}
    return tuple(Entry(name, found[name]) for name in NAVIGATION if name in found)
