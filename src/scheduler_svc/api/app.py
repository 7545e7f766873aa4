"""The API as one ASGI application, made from the list of routes.

Promises no redirects, HEAD with every GET, and a problem document for whatever is not there.
"""

from collections.abc import Awaitable, Sequence

from starlette.exceptions import HTTPException
from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from scheduler_svc.api.context import Deps
from scheduler_svc.api.endpoint import Endpoint
from scheduler_svc.api.middleware import framed
from scheduler_svc.api.problems import MethodNotAllowed
from scheduler_svc.api.route import Route
from scheduler_svc.api.routes import ROUTES, document
from scheduler_svc.api.table import Table
from scheduler_svc.domain.errors import NotFound, Refused

METHOD_NOT_ALLOWED = 405
ANY_TEXT = "{key}"
"""A parameter that may be any text, with slashes in it: for a pattern, not for the table."""


def build_app(
    deps: Deps, routes: Sequence[Route] = ROUTES, *, pages: Sequence[StarletteRoute] = ()
) -> ASGIApp:
    """Make the application, with the pages of the dashboard; it starts nothing and owns nothing."""
    # Made now: it takes 50 ms, for which a timer of the engine would wait if a request made it.
    document(deps.version, deps.public_url)
    return framed(_Paths(_by_path(routes, deps), pages), deps)


class _Paths:
    """Hands a request to what is at its path."""

    def __init__(
        self, endpoints: Sequence[tuple[str, Endpoint]], pages: Sequence[StarletteRoute]
    ) -> None:
        self._find = Table(one for one in endpoints if ANY_TEXT not in one[0]).find
        self._router = Router(
            [
                *(
                    StarletteRoute(
                        path.replace(ANY_TEXT, "{key:path}"), endpoint, methods=endpoint.methods
                    )
                    for path, endpoint in endpoints
                ),
                *pages,
            ],
            redirect_slashes=False,
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the endpoint answer; raise what refuses the request."""
        if scope["type"] == "http":
            found = self._find(scope["method"], scope["path"])
            if found is not None:
                endpoint, scope["path_params"] = found
                return endpoint(scope, receive, send)
        return self._routed(scope, receive, send)

    async def _routed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Starlette look, which knows the pages, and what methods there are instead."""
        scope["app"] = self  # else its router answers by itself where there is nothing
        try:
            await self._router(scope, receive, send)
        except HTTPException as error:
            raise _refusal(scope["method"], error) from None


def _by_path(routes: Sequence[Route], deps: Deps) -> list[tuple[str, Endpoint]]:
    """One endpoint a path, so that a 405 knows all methods; fixed paths go first."""
    paths: dict[str, list[Route]] = {}
    for route in sorted(routes, key=lambda route: "{" in route.path):
        paths.setdefault(route.path, []).append(route)
    return [(path, Endpoint(group, deps)) for path, group in paths.items()]


def _refusal(method: str, error: HTTPException) -> Refused:
    """Say in our own words what Starlette's router found."""
    if error.status_code == METHOD_NOT_ALLOWED:
        return MethodNotAllowed(method, (error.headers or {}).get("Allow", "").split(", "))
    return NotFound("There is nothing at this path.")
