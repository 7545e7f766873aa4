"""Swagger UI and the entry page, from files of installed packages: nothing comes from another host.

The pages run under a policy that lets no inline script and no other origin in.
"""

import asyncio
from functools import lru_cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from scheduler_svc.api.context import Call, Reply
from scheduler_svc.api.route import Answer, Route
from scheduler_svc.domain.errors import NotFound

HTML = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
STYLE = "text/css; charset=utf-8"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The names of the package offapi, which carries Swagger UI as it is published.
SWAGGER_UI = {
    "swagger-ui.css": ("swagger_style.css", STYLE),
    "swagger-ui-bundle.js": ("swagger_bundle.js", SCRIPT),
}
DASHBOARD = "/ui"
OWN = {"docs.js": SCRIPT, "pages.css": STYLE}


@lru_cache(maxsize=8)
def asset(name: str) -> tuple[bytes, str]:
    """Return a file of the pages and its media type; raise KeyError for any other name."""
    if name in OWN:
        return _own(name), OWN[name]
    file, media_type = SWAGGER_UI[name]
    return (_swagger_ui_folder() / file).read_bytes(), media_type


def _own(name: str) -> bytes:
    return (files("scheduler_svc.api") / "static" / name).read_bytes()


def _swagger_ui_folder() -> Path:
    """Find the package without importing it: that would read every page it knows into memory."""
    spec = find_spec("offapi")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package offapi, which has Swagger UI, is not installed")
    return Path(spec.origin).parent


async def get_docs(_call: Call) -> Reply:
    return _page("docs.html")


async def get_home(call: Call) -> Reply:
    """Send browsers on to the dashboard; programs are told what there is."""
    if "text/html" in call.headers.get("accept", ""):
        return Reply(status=303, body=b"", headers={"Location": DASHBOARD}, media_type="text/plain")
    return _page("index.html")


async def get_asset(call: Call) -> Reply:
    try:
        body, media_type = await asyncio.to_thread(asset, call.path["name"])
    except KeyError:
        raise NotFound("There is no such file.") from None
    headers = {"Cache-Control": "public, max-age=3600"}
    return Reply(body=body, media_type=media_type, headers=headers)


def _page(name: str) -> Reply:
    return Reply(body=_own(name), media_type=HTML, headers={"Content-Security-Policy": POLICY})


ROUTES = (
    Route(
        method="GET",
        path="/",
        handler=get_home,
        operation_id="get_home",
        summary="The entry page; browsers go on to the dashboard.",
        tag="pages",
        answers={
            200: Answer(description="A page.", media_type="text/html"),
            303: Answer(
                description="The dashboard, for who accepts HTML.",
                headers={"Location": "The dashboard."},
            ),
        },
    ),
    Route(
        method="GET",
        path="/docs",
        handler=get_docs,
        operation_id="get_docs",
        summary="This API in Swagger UI.",
        tag="pages",
        answers={200: Answer(description="A page.", media_type="text/html")},
    ),
    Route(
        method="GET",
        path="/docs/assets/{name}",
        handler=get_asset,
        operation_id="get_docs_asset",
        summary="A file of the pages.",
        tag="pages",
        hidden=True,
        answers={200: Answer(description="A file.", media_type="text/javascript")},
    ),
)
