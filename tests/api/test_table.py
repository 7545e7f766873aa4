"""The table of paths finds what trying one pattern after the other finds."""

import pytest
from starlette.routing import Match, Route, Router

from scheduler_svc.api.app import _by_path
from scheduler_svc.api.context import Deps
from scheduler_svc.api.routes import ROUTES
from scheduler_svc.api.table import Table

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WORDS = ("a", "bulk", "runs", "replay", "", "%2F", "a b", "{id}", "pause", "ü")
ODD = ("", "/", "//", "/jobs/", "/jobs//runs", "/Jobs", "/jobs/a/b/c", "jobs", "/nothing/a")


@pytest.mark.parametrize("method", METHODS)
def test_it_finds_what_the_patterns_find(deps: Deps, method: str) -> None:
    endpoints = [one for one in _by_path(ROUTES, deps) if "{key}" not in one[0]]
    table = Table(endpoints)
    router = Router([Route(path, each, methods=each.methods) for path, each in endpoints])
    asked = {
        path.replace("{id}", word).replace("{name}", word)
        for path, _ in endpoints
        for word in WORDS
    }
    for path in (*sorted(asked), *ODD):
        scope = {"type": "http", "method": method, "path": path}
        matches = [route.matches(dict(scope)) for route in router.routes]
        full = [child for match, child in matches if match is Match.FULL]
        wanted = (full[0]["endpoint"], full[0]["path_params"]) if full else None
        assert table.find(method, path) == wanted, path
