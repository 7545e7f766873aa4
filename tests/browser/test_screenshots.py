"""The pictures of the documentation, made from the pages as they are.

`SCREENSHOTS=docs/images` writes them there; without it they are made and thrown away, so that no
picture can stop being makeable.
"""

import os
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Browser, Page, expect

from fleet import Replica
from story import Story
from visiting import Scheme, visiting

SIZE, SMALL = (1180, 760), (390, 760)
BYTES_MAX = 150_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    given = os.environ.get("SCREENSHOTS")
    return Path(given) if given else tmp_path


async def taken(page: Page, path: Path) -> None:
    await page.wait_for_load_state("load")
    await page.screenshot(path=path, animations="disabled")
    assert path.stat().st_size < BYTES_MAX


@pytest.mark.parametrize(
    ("name", "address", "scheme", "size"),
    [
        ("overview", "/ui", "light", SIZE),
        ("overview-phone", "/ui", "light", SMALL),
        ("jobs", "/ui/jobs", "light", SIZE),
        ("job", "/ui/jobs/sync-crm", "light", SIZE),
        ("run", "/ui/runs/{failed}", "light", SIZE),
        ("forecast-dark", "/ui/forecast", "dark", SIZE),
    ],
)
async def test_the_documentation_has_a_picture_of(
    browser: Browser,
    service: Replica,
    story: Story,
    folder: Path,
    name: str,
    address: str,
    scheme: Scheme,
    size: tuple[int, int],
) -> None:
    async with visiting(browser, service.url(""), scheme=scheme, size=size) as page:
        await page.goto(address.format(failed=story.runs["failed"]))
        if await page.locator(".live").count():
            await expect(page.locator(".live")).to_have_text("Live")
        await taken(page, folder / f"{name}.png")


async def test_the_documentation_has_a_picture_of_a_job_that_is_being_made(
    browser: Browser, service: Replica, story: Story, folder: Path, api: httpx2.AsyncClient
) -> None:
    async with visiting(browser, service.url(""), size=SIZE) as page:
        await page.goto("/ui/jobs/new")
        await page.get_by_label("Expression", exact=True).fill("0 6 * * *")
        await page.get_by_label("Time zone").fill("Europe/Berlin")
        await page.get_by_label("URL").fill("https://example.com/report")
        await page.locator("#preview-warnings li").first.wait_for()
        await taken(page, folder / "new-job.png")
