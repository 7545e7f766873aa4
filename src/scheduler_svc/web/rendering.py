"""The templates, read and compiled once, and how values are written in them.

Promises that whatever a caller gave is escaped, and that a name which a template does not get is an
error and not an empty place.
"""

import json
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import DictLoader, Environment, StrictUndefined

from scheduler_svc.web import wording
from scheduler_svc.web.assets import Assets
from scheduler_svc.web.visit import query_of

ROOT = "/ui"


class Templates:
    """Every template of the package."""

    def __init__(self, assets: Assets) -> None:
        folder = files("scheduler_svc.web") / "templates"
        texts = {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir()}
        self._made = Environment(
            loader=DictLoader(texts),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._made.globals.update(asset=assets.address, ui=ui, query=query_of)
        self._made.filters.update(wording.FILTERS, pretty=pretty)
        self._templates = {name: self._made.get_template(name) for name in texts}

    def render(self, name: str, values: dict[str, Any]) -> str:
        """Fill a template."""
        return self._templates[name].render(values)


def ui(*parts: str, **query: Any) -> str:
    """Write the address of a page: `ui("jobs", job.id)`; what the query has of None is left out."""
    path = "/".join([ROOT, *(quote(str(part), safe="") for part in parts)])
    asked = query_of(query)
    return f"{path}?{asked}" if asked else path


def pretty(value: Any) -> str:
    """Write a JSON value for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)
