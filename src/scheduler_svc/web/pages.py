"""The pages of the dashboard as routes: so far the one to log in at.

Promises a page that loads nothing but our own style, runs no script, and can be framed by nobody;
texts of callers are never part of it.
"""

from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
FAILURES = {
    "key": "This key is unknown, has expired, or is not good from your address.",
    "wait": "Too many keys from your address were not accepted. Wait a moment.",
    "origin": "Logging in needs https, and a form of our own.",
    "form": "Give an API key.",
}
NEXT_MAX = 500


def pages() -> list[Route]:
    """Return the routes; the templates are read now, and not at a request."""
    loader = DictLoader({"login.html": _template("login.html")})
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    login = made.get_template("login.html")

    async def get_login(request: Request) -> HTMLResponse:
        asked = request.query_params
        failure = FAILURES.get(asked.get("failed", ""))
        onward = asked.get("next", "/")[:NEXT_MAX]
        return HTMLResponse(
            login.render(failure=failure, next=onward),
            headers={"Content-Security-Policy": POLICY},
        )

    return [Route("/ui/login", get_login, methods=["GET"])]


def _template(name: str) -> str:
    return (files("scheduler_svc.web") / "templates" / name).read_text(encoding="utf-8")
