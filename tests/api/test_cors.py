"""Pages of other origins: nothing without a list, and with one exactly those that are on it."""

import httpx2
import pytest
from msgspec.structs import replace

from factories import body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps

APP = "https://app.example"
ASKS = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


def allowing(deps: Deps, *origins: str) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(build_app(replace(deps, cors_origins=origins)))
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")


def allowed(answer: httpx2.Response) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


async def test_without_a_list_no_origin_is_allowed_anything(http: httpx2.AsyncClient) -> None:
    for method, path in (("GET", "/jobs"), ("OPTIONS", "/jobs"), ("GET", "/nothing")):
        answer = await http.request(method, path, headers={"Origin": APP, **ASKS})
        assert allowed(answer) == []
        assert "vary" not in answer.headers
    assert (await http.options("/jobs", headers={"Origin": APP, **ASKS})).status_code == 405


async def test_a_listed_origin_may_ask_and_read(deps: Deps) -> None:
    async with allowing(deps, APP, "http://localhost:3000") as http:
        preflight = await http.options("/jobs/a", headers={"Origin": APP, **ASKS})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == APP
        assert "PUT" in preflight.headers["access-control-allow-methods"]
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        assert "If-Match" in preflight.headers["access-control-allow-headers"]
        assert "traceparent" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-max-age"] == "600"
        assert "Origin" in preflight.headers["vary"]
        made = await http.post("/jobs", json=body(), headers={"Origin": APP})
        assert made.status_code == 201
        assert made.headers["access-control-allow-origin"] == APP
        shown = made.headers["access-control-expose-headers"]
        assert {"ETag", "Location", "X-Request-ID"} <= set(shown.split(", "))
        for path in ("/nothing", "/jobs?limit=x"):
            refused = await http.get(path, headers={"Origin": APP})
            assert refused.headers["access-control-allow-origin"] == APP
            assert refused.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://sub.app.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example/",
        "HTTPS://APP.EXAMPLE",
        "null",
        "",
    ],
)
async def test_no_other_origin_is_allowed_anything(deps: Deps, origin: str) -> None:
    async with allowing(deps, APP) as http:
        for method in ("GET", "OPTIONS"):
            answer = await http.request(method, "/jobs", headers={"Origin": origin, **ASKS})
            assert allowed(answer) == []
            assert answer.headers["vary"] == "Origin"


async def test_nobody_is_ever_allowed_to_send_cookies_along(deps: Deps) -> None:
    async with allowing(deps, APP) as http:
        for method in ("GET", "OPTIONS"):
            answer = await http.request(method, "/jobs", headers={"Origin": APP, **ASKS})
            assert "access-control-allow-credentials" not in answer.headers
            assert answer.headers["access-control-allow-origin"] != "*"
