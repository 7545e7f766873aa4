"""The page to log in at: it asks the API for nothing, and shows no text of callers."""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from scheduler_svc.web.page import HEADERS, LOGIN
from scheduler_svc.web.rendering import Templates

FAILURES = {
    "key": "This key is unknown, has expired, or is not good from your address.",
    "wait": "Too many keys from your address were not accepted. Wait a moment.",
    "origin": "Logging in needs https, and a form of our own.",
    "form": "Give an API key.",
}
NEXT_MAX = 500
HOME = "/ui"


def login_route(templates: Templates) -> Route:
    """Return the route of the form; what it sends goes to the API."""

    async def get_login(request: Request) -> Response:
        asked = request.query_params
        values = {
            "title": "Log in",
            "failure": FAILURES.get(asked.get("failed", "")),
            "next": asked.get("next", HOME)[:NEXT_MAX],
        }
        return HTMLResponse(templates.render("login.html", values), headers=HEADERS)

    return Route(LOGIN, get_login, methods=["GET"])
