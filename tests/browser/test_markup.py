"""Whatever callers and targets say is shown as text: nothing of it becomes a part of a page."""

import json
from urllib.parse import quote

import httpx2
import pytest
from playwright.async_api import Browser

from fleet import Replica
from receiver import Receiver, answer
from visiting import Ended, visiting

MARKUP = """"'><img src=x onerror=alert(1)><script>alert(2)</script></textarea></pre>"""
INJECTED = "img[src=x], main script, dialog script, [onerror]"


@pytest.mark.timeout(150)
async def test_markup_of_callers_and_targets_is_shown_as_text_on_every_page(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, target: Receiver, ended: Ended
) -> None:
    said = answer(500, json.dumps({"said": MARKUP}).encode(), {"X-Said": MARKUP})
    url = target.on("/marked", said) + f"?q={quote(MARKUP)}"
    asked = {
        "name": "marked",
        "description": MARKUP,
        "labels": {"said": MARKUP},
        "schedule": {"cron": "0 4 29 2 *"},
        "target": {"url": url, "headers": {"X-Sent": MARKUP}, "body": {MARKUP: MARKUP}},
        "retry": {"max_attempts": 1},
    }
    made = await api.post("/jobs", json=asked)
    assert made.status_code == 201, made.text
    job = made.json()
    await api.post(f"/jobs/{job['id']}/pause", json={"reason": MARKUP})
    run = await ended(job)
    assert run["status"] == "failed"
    await api.post("/api-keys", json={"name": MARKUP, "scopes": ["jobs:read"]})
    shows = {
        f"/ui/jobs/{job['id']}": "<script>alert(2)",
        f"/ui/jobs/{job['id']}/edit": "",
        f"/ui/jobs/new?copy={job['id']}": "",
        f"/ui/jobs/{job['id']}/explain?at={run['scheduled_for']}": "",
        f"/ui/jobs/{job['id']}/explain?at={quote(MARKUP)}": "",
        f"/ui/jobs?q={quote(MARKUP)}": "<img src=x",
        f"/ui/runs/{run['id']}": "<script>alert(2)",
        "/ui/runs?status=failed": "",
        f"/ui/dead-letters?job={job['id']}": "",
        f"/ui/dead-letters?job={quote(MARKUP)}": "",
        f"/ui/audit?job={job['id']}": "<img src=x",
        "/ui/keys": "<img src=x",
        "/ui": "",
    }
    async with visiting(browser, service.url("")) as page:
        for address, words in shows.items():
            await page.goto(address)
            await page.locator("details").evaluate_all(
                "all => all.forEach(one => (one.open = true))"
            )
            assert await page.locator(INJECTED).count() == 0, address
            assert words in await page.locator("main").inner_text(), address


async def test_a_refusal_that_quotes_what_was_sent_is_text_too(
    browser: Browser, service: Replica
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/new")
        await page.get_by_label("Time zone").fill(MARKUP)
        await page.locator("#zone-fault").get_by_text("<img").wait_for()
        await page.get_by_label("URL").fill(MARKUP)
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.locator("#act-fault").get_by_text("fault").wait_for()
        assert await page.locator(INJECTED).count() == 0
