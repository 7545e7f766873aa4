"""A page of the dashboard as a value, and the frame in which each is answered.

Promises of every page: the policy that lets nothing in but our own files, a way to the login where
nobody is logged in, and a page that says what to do where the API refused something.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from scheduler_svc.domain.access import EVERY
from scheduler_svc.store.pool import is_database_away
from scheduler_svc.web.lent import Lent
from scheduler_svc.web.rendering import Templates
from scheduler_svc.web.visit import NotShown, Session, Shown, Visit

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Under `no-referrer` a browser says `Origin: null` for a form, and nobody could log in.
    "Referrer-Policy": "same-origin",
}
LOGIN = "/ui/login"
UNAUTHENTICATED, SEE_OTHER, UNAVAILABLE = 401, 303, 503
AWAY = "The database does not answer. Nothing is lost: what is due is sent when it is back."
Handler = Callable[[Visit], Awaitable[Shown | Response]]


class Page(Struct, frozen=True, kw_only=True):
    """One page: `entry` is its word in the navigation, for the few that stand there.

    `within` names the entry under which another page lies.
    """

    path: str
    handler: Handler
    entry: str | None = None
    within: str | None = None


class Entry(Struct, frozen=True):
    """A line of the navigation."""

    name: str
    path: str


class Frame(Struct, frozen=True):
    """Answers requests for pages."""

    lent: Lent
    templates: Templates
    entries: tuple[Entry, ...]

    def route(self, page: Page) -> Route:
        """Make the route of a page."""

        async def endpoint(request: Request) -> Response:
            return await self._answer(page, request)

        return Route(page.path, endpoint, methods=["GET"], name=page.path)

    async def _answer(self, page: Page, request: Request) -> Response:
        visit = Visit(request=request, lent=self.lent, session=Session())
        try:
            told = await visit.get("/ui/session")
            visit = msgspec.structs.replace(visit, session=msgspec.convert(told, Session))
            shown = await page.handler(visit)
        except NotShown as refused:
            if refused.status == UNAUTHENTICATED:
                return _to_login(request)
            shown = error_page(refused.status, refused.detail)
            return self.response(visit, shown, page, retry=refused.headers.get("retry-after"))
        except Exception as error:
            if not is_database_away(error):
                raise
            return self.response(visit, error_page(UNAVAILABLE, AWAY), page, retry="5")
        if isinstance(shown, Response):
            return shown
        return self.response(visit, shown, page)

    def response(
        self, visit: Visit, shown: Shown, page: Page, *, retry: str | None = None
    ) -> Response:
        """Fill the template of a page."""
        values: dict[str, Any] = {
            "title": shown.title,
            "session": visit.session,
            "namespace": visit.namespace,
            "chosen": visit.chosen,
            "chooses": visit.session.namespace == EVERY,
            "now": visit.now,
            "entries": self.entries,
            "section": page.entry or page.within,
            "is_entry": page.entry is not None,
            "version": visit.lent.version,
            **shown.values,
        }
        text = self.templates.render(shown.template, values)
        more = {} if retry is None else {"Retry-After": retry}
        return HTMLResponse(text, shown.status, HEADERS | more)


TITLES = {
    403: "Not for this key",
    404: "Not found",
    422: "That can not be asked",
    429: "Too many requests",
    503: "Not available",
}
HINTS = {
    403: "Log in with a key that has the scope, or ask whoever administrates the keys.",
    404: "It may have been deleted, or belongs to another namespace.",
    422: "Go back and change what was asked for.",
    429: "Wait a moment, then load the page again.",
    503: "Load the page again in a moment.",
}


def error_page(status: int, detail: str) -> Shown:
    """Say what went wrong and what to do."""
    values = {
        "status": status,
        "detail": detail,
        "hint": HINTS.get(status, "Load the page again; if it stays so, look at the log."),
    }
    title = TITLES.get(status, "Something went wrong")
    return Shown(template="error.html", title=title, values=values, status=status)


async def nothing_here(_visit: Visit) -> Shown:
    """Answer for what is no page."""
    await asyncio.sleep(0)
    return error_page(404, "There is no page at this address.")


def _to_login(request: Request) -> Response:
    # Not `request.url`: that is made with the Host, which may be no part of any address.
    query = request.scope["query_string"].decode("latin-1")
    onward = quote(request.scope["path"]) + (f"?{query}" if query else "")
    return RedirectResponse(f"{LOGIN}?next={quote(onward, safe='')}", SEE_OTHER)
