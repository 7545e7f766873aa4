"""What holds for each page in a browser: its policy, its origin, its contrast, its width."""

import re
from collections.abc import Sequence

import httpx2
import pytest
from playwright.async_api import Browser, Page

from fleet import Replica
from story import Story
from visiting import COLOURS, PHONE, faults_of, overflow_of, visiting

PAGES = (
    *("/ui", "/ui/jobs?label=team:billing", "/ui/jobs/sync-crm", "/ui/jobs/weekly-digest"),
    "/ui/runs?status=skipped",
    *("/ui/runs/{failed}", "/ui/runs/{skipped}", "/ui/jobs/new", "/ui/jobs/invoices/edit"),
    *(
        "/ui/jobs/sync-crm/explain?at={at}",
        "/ui/forecast",
        "/ui/replicas",
        "/ui/dead-letters?since={at}",
    ),
    *("/ui/audit?action=job.paused", "/ui/keys", "/ui/login", "/ui/nothing-is-here"),
)
LENGTHEN = """
    for (const time of document.querySelectorAll("time:not([data-only])"))
        time.textContent = "Wed 30 Sept 23:59:00";
    for (const until of document.querySelectorAll("[data-until]"))
        until.textContent = "in 59 min 59 s";
"""
"""Of another day, as all are a while after midnight, and as far off as takes most words."""
UNSAFE = re.compile(r"unsafe|\*|https?:|wss?:")


@pytest.fixture
async def addresses(api: httpx2.AsyncClient, story: Story) -> list[str]:
    failed = (await api.get(f"/runs/{story.runs['failed']}")).json()
    ids = {status: str(run) for status, run in story.runs.items()}
    return [page.format(at=failed["scheduled_for"], **ids) for page in PAGES]


async def all_faults(page: Page, addresses: list[str], only: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for address in addresses:
        await page.goto(address)
        if faults := await faults_of(page, only):
            found[address] = faults
    return found


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.timeout(150)
async def test_axe_finds_no_serious_fault_on_any_page(
    browser: Browser, service: Replica, addresses: list[str], half: int
) -> None:
    async with visiting(browser, service.url(""), bypass=True) as page:
        assert await all_faults(page, addresses[half::2], ()) == {}


@pytest.mark.timeout(150)
async def test_axe_finds_no_serious_fault_in_what_opens(
    browser: Browser, service: Replica, story: Story
) -> None:
    opened = {
        "/ui/keys": "New key",
        f"/ui/runs/{story.runs['failed']}": "Replay",
        "/ui/jobs/invoices": "Pause",
    }
    async with visiting(browser, service.url(""), bypass=True) as page:
        for address, button in opened.items():
            await page.goto(address)
            await page.get_by_role("button", name=button).first.click()
            await page.get_by_role("dialog").wait_for()
            assert await faults_of(page) == [], address
        await page.goto("/ui/jobs/invoices/edit")
        await page.get_by_label("Expression", exact=True).fill("0 4 * * *")
        await page.get_by_text("Everything, as JSON").click()
        await page.get_by_role("button", name="Show what changes").click()
        await page.locator("#difference").wait_for()
        assert await faults_of(page) == []


@pytest.mark.timeout(150)
async def test_in_the_dark_every_text_has_its_contrast(
    browser: Browser, service: Replica, addresses: list[str]
) -> None:
    async with visiting(browser, service.url(""), scheme="dark", bypass=True) as page:
        assert await all_faults(page, addresses, COLOURS) == {}


@pytest.mark.timeout(150)
async def test_no_page_is_wider_than_a_phone_and_none_leaves_its_origin_or_meets_its_policy(
    browser: Browser, service: Replica, addresses: list[str]
) -> None:
    wide: dict[str, int] = {}
    async with visiting(browser, service.url(""), size=PHONE) as page:
        for address in addresses:
            answer = await page.goto(address)
            assert answer is not None
            assert answer.status == (404 if "nothing" in address else 200), address
            policy = answer.headers["content-security-policy"]
            assert UNSAFE.search(policy) is None
            await page.wait_for_load_state("load")
            await page.evaluate(LENGTHEN)
            if (over := await overflow_of(page)) > 0:
                wide[address] = over
    assert wide == {}


@pytest.mark.timeout(150)
async def test_without_a_script_every_page_can_be_read_and_offers_nothing_that_needs_one(
    browser: Browser, service: Replica, addresses: list[str]
) -> None:
    async with visiting(browser, service.url(""), scripts=False) as page:
        for address in addresses:
            await page.goto(address)
            assert await page.locator("h1").count() == 1
            assert await page.locator("[data-opens]:visible, [data-send]:visible").count() == 0
        await page.goto("/ui/jobs/sync-crm/explain")
        await page.get_by_label("Instant").fill("2026-01-05T08:00:00")
        await page.get_by_role("button", name="Explain").click()
        await page.get_by_role("heading", name="Nothing runs then.").wait_for()


async def test_the_keyboard_reaches_the_page_and_what_it_offers(
    browser: Browser, service: Replica, story: Story
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto(f"/ui/runs/{story.runs['failed']}")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the page"
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Replay").focus()
        await page.keyboard.press("Enter")
        asked = page.get_by_role("dialog", name="Replay this run?")
        await asked.wait_for()
        assert await page.evaluate("document.activeElement.closest('dialog') !== null")
        await page.keyboard.press("Escape")
        await asked.wait_for(state="hidden")


async def test_the_theme_is_chosen_once_and_stays(
    browser: Browser, service: Replica, story: Story
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/forecast")
        shade = "getComputedStyle(document.body).backgroundColor"
        light = await page.evaluate(shade)
        await page.get_by_role("button", name="dark theme").click()
        dark = await page.evaluate(shade)
        assert light != dark
        await page.goto("/ui/replicas")
        assert await page.evaluate(shade) == dark
        await page.get_by_role("button", name="light theme").click()
        assert await page.evaluate(shade) == light
