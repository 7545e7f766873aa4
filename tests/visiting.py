"""A visitor's browser, and what it saw that no page of ours may do.

Promises that whatever a page loads, logs against its policy, throws or pops up is counted, and that
the rules of axe-core are those of the package that is installed. It drives no page by itself.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request, expect

CHROMIUM = Path("/usr/bin/chromium")
BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
DESK, PHONE = (1200, 800), (360, 740)
TIMEOUT_MS = 30_000
"""Long, for a machine that does other things: everything waits for a condition, not for this."""
expect.set_options(timeout=TIMEOUT_MS)
Scheme = Literal["light", "dark"]
Json = dict[str, Any]
Make = Callable[..., Awaitable[Json]]
"""Makes a job of this name that calls a path of the receiver, with a behaviour and changes."""
Ended = Callable[[Json], Awaitable[Json]]
"""Runs a job now and waits for the end of that run."""


@dataclass
class Seen:
    """What became of a visit: all of it is empty where the pages are good."""

    origin: str
    elsewhere: list[str] = field(default_factory=list)
    """Requests that left the origin."""
    refused: list[str] = field(default_factory=list)
    """What the policy of a page did not let it do."""
    thrown: list[str] = field(default_factory=list)
    """Errors of scripts that nobody caught."""
    dialogs: list[str] = field(default_factory=list)
    """Alerts and the like: injected scripts show themselves so."""
    requests: int = 0

    def request(self, request: Request) -> None:
        self.requests += 1
        if not request.url.startswith((f"{self.origin}/", "data:", "about:", "blob:")):
            self.elsewhere.append(request.url)

    def message(self, message: ConsoleMessage) -> None:
        if re.search(r"Content.Security.Policy|Refused to", message.text):
            self.refused.append(message.text)

    async def dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()

    def check(self) -> None:
        assert self.requests
        faults = [*self.elsewhere, *self.refused, *self.thrown, *self.dialogs]
        assert faults == [], self


@asynccontextmanager
async def visiting(
    browser: Browser,
    base: str,
    *,
    scheme: Scheme = "light",
    size: tuple[int, int] = DESK,
    scripts: bool = True,
    zone: str = "Europe/Berlin",
    bypass: bool = False,
) -> AsyncIterator[Page]:
    """Open a context of its own; at the end nothing has left the origin or met the policy.

    `bypass` takes the policy away, for axe alone.
    """
    context = await browser.new_context(
        base_url=base,
        color_scheme=scheme,
        viewport={"width": size[0], "height": size[1]},
        java_script_enabled=scripts,
        timezone_id=zone,
        locale="en-GB",
        reduced_motion="reduce",
        bypass_csp=bypass,
    )
    context.set_default_timeout(TIMEOUT_MS)
    page = await context.new_page()
    parts = urlsplit(base)
    seen = Seen(f"{parts.scheme}://{parts.netloc}")
    page.on("request", seen.request)
    page.on("console", seen.message)
    page.on("dialog", seen.dialog)
    page.on("pageerror", lambda error: seen.thrown.append(str(error)))
    try:
        yield page
        seen.check()
    finally:
        await context.close()


def rules() -> str:
    """Return the script of axe-core."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that the scheme can make a difference to."""


async def faults_of(page: Page, only: Sequence[str] = ()) -> list[str]:
    """Run axe on a page, or some rules of it, and return its serious and critical faults."""
    if not await page.evaluate("typeof window.axe === 'object'"):
        await page.evaluate(rules())
    chosen = {"runOnly": {"type": "rule", "values": list(only)}} if only else {}
    told: Json = await page.evaluate(
        "options => axe.run(document, options)",
        {"resultTypes": ["violations"], "iframes": False, **chosen},
    )
    return [
        f"{one['id']}: {node['html'][:200]} ({node['failureSummary'][:300]})"
        for one in told["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


async def overflow_of(page: Page) -> int:
    """Return by how many pixels a page is wider than the screen."""
    wide: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wide
