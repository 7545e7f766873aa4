"""The API as one ASGI application, made from the list of routes.

Promises no redirects, HEAD with every GET, and a problem document for whatever is not there.
"""

from collections.abc import Sequence
from typing import NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route as StarletteRoute

from scheduler_svc.api.context import Deps
from scheduler_svc.api.endpoint import Endpoint
from scheduler_svc.api.middleware import middleware
from scheduler_svc.api.problems import MethodNotAllowed
from scheduler_svc.api.route import Route
from scheduler_svc.api.routes import ROUTES, document
from scheduler_svc.domain.errors import NotFound

METHOD_NOT_ALLOWED = 405


def build_app(
    deps: Deps, routes: Sequence[Route] = ROUTES, *, pages: Sequence[StarletteRoute] = ()
) -> Starlette:
    """Make the application, with the pages of the dashboard; it starts nothing and owns nothing."""
    # Made now: it takes 50 ms, for which a timer of the engine would wait if a request made it.
    document(deps.version, deps.public_url)
    app = Starlette(
        routes=[*_by_path(routes, deps), *pages],
        middleware=middleware(deps),
        exception_handlers={HTTPException: _refuse},
    )
    app.router.redirect_slashes = False
    return app


def _by_path(routes: Sequence[Route], deps: Deps) -> list[StarletteRoute]:
    """One Starlette route a path, so that a 405 knows all methods; fixed paths go first."""
    paths: dict[str, list[Route]] = {}
    for route in sorted(routes, key=lambda route: "{" in route.path):
        paths.setdefault(route.path, []).append(route)
    return [
        # A key may be any text, with slashes in it.
        StarletteRoute(
            path.replace("{key}", "{key:path}"),
            Endpoint(group, deps),
            methods=[route.method for route in group],
        )
        for path, group in paths.items()
    ]


async def _refuse(request: Request, error: Exception) -> NoReturn:
    """Say in our own words what Starlette's router found."""
    if isinstance(error, HTTPException) and error.status_code == METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        raise MethodNotAllowed(request.method, allowed)
    raise NotFound("There is nothing at this path.")
