"""Making and editing a job: what it means while one types, what is wrong, and what would change."""

import re

import httpx2
from playwright.async_api import Browser, Page, expect

from fleet import Replica
from receiver import Receiver, answer
from story import Story
from visiting import visiting


async def typed(page: Page, label: str, text: str) -> None:
    await page.get_by_label(label, exact=True).fill(text)


async def test_an_expression_is_told_in_words_and_instants_while_it_is_typed(
    browser: Browser, service: Replica
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/new")
        words, coming = page.locator("#preview-words"), page.locator("#preview-next li")
        await expect(words).to_have_text("At 09:00 on Monday through Friday")
        await typed(page, "Expression", "30 2 * * *")
        await typed(page, "Time zone", "Europe/Berlin")
        await expect(words).to_have_text("At 02:30, Europe/Berlin")
        await expect(coming).to_have_count(8)
        await expect(page.locator("#preview-warnings li[data-code=dst_gap]")).to_be_visible()
        await typed(page, "Expression", "61 * * * *")
        await expect(words).to_have_text("Not yet a schedule.")
        await expect(page.locator("#schedule-fault")).to_contain_text("61")
        await expect(page.get_by_label("Expression", exact=True)).to_have_attribute(
            "aria-invalid", "true"
        )
        await typed(page, "Expression", "0 4 * * *")
        await typed(page, "Time zone", "Europe/Berln")
        await expect(page.locator("#zone-fault")).to_contain_text("Europe/Berlin")
        await page.get_by_label("in a fixed interval").check()
        await typed(page, "Time zone", "UTC")
        await typed(page, "Interval", "90m")
        await expect(words).to_have_text(re.compile("Every"))
        await expect(page.get_by_label("Expression", exact=True)).to_be_hidden()


async def test_a_crowded_minute_is_hinted_at_and_faults_stand_at_their_fields(
    browser: Browser, service: Replica, story: Story
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/new")
        await typed(page, "Expression", "0 6 * * *")
        await typed(page, "Time zone", "Europe/Berlin")
        await expect(page.locator("#preview-warnings li[data-code=herd]")).to_contain_text("110")
        await typed(page, "URL", "ftp://example.com/")
        await typed(page, "Name", "Not A Name")
        await page.get_by_role("button", name="Create", exact=True).click()
        await expect(page.locator("#url-fault")).not_to_be_empty()
        await expect(page.locator("#name-fault")).not_to_be_empty()
        await expect(page.locator("#act-fault")).to_contain_text("2 faults")
        await typed(page, "Body, as JSON", "{month}")
        await expect(page.locator("#body-fault")).to_contain_text("no JSON")


async def test_a_job_is_made_with_all_that_was_filled_in(
    browser: Browser, service: Replica, target: Receiver, api: httpx2.AsyncClient
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/new")
        await typed(page, "Expression", "0 4 * * *\n0 5 * * SUN")
        await page.get_by_label("Method").select_option("PUT")
        await typed(page, "URL", target.url("/made"))
        await page.get_by_label("Headers").fill("X-Kind: weekly\nX-Note: a: b")
        await page.get_by_label("Body, as JSON").fill('{"month": "2026-01"}')
        await typed(page, "Name", "made-by-form")
        await typed(page, "Labels", "team: billing")
        await page.get_by_text("Everything, as JSON").click()
        spec = page.get_by_label("The definition as JSON")
        assert '"made-by-form"' in await spec.input_value()
        whole = (await spec.input_value()).replace('"name"', '"priority": 7,\n  "name"')
        await spec.fill(whole)
        await page.get_by_role("button", name="Create", exact=True).click()
        await page.wait_for_url(re.compile("/ui/jobs/[0-9a-f-]{36}$"))
        await expect(page.get_by_role("heading", level=1)).to_have_text("made-by-form")
    job = (await api.get("/jobs/made-by-form")).json()
    assert job["schedule"]["cron"] == ["0 4 * * *", "0 5 * * SUN"]
    assert job["target"]["method"] == "PUT"
    assert job["target"]["headers"] == {"X-Kind": "weekly", "X-Note": "a: b"}
    assert job["target"]["body"] == {"month": "2026-01"}
    assert (job["labels"], job["priority"]) == ({"team": "billing"}, 7)


async def test_a_test_call_makes_the_job_and_shows_what_its_target_answered(
    browser: Browser, service: Replica, target: Receiver
) -> None:
    url = target.on("/tested", answer(200, b'{"accepted": [1, 2]}'))
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/new")
        await typed(page, "URL", url)
        await page.get_by_role("button", name="Create and call it once").click()
        await page.wait_for_url("**/ui/runs/*")
        await expect(page.locator(".head .badge")).to_have_text("succeeded")
        await expect(page.get_by_label("Body of the response")).to_contain_text('"accepted": [')
        await expect(page.get_by_text("Attempt 1", exact=True)).to_be_visible()
        assert await page.locator("svg.phases rect").count() >= 2


async def test_an_edit_shows_what_would_change_before_it_is_saved(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, target: Receiver
) -> None:
    asked = {"schedule": {"cron": "0 4 * * *"}, "target": {"url": target.url("/edited")}}
    (await api.put("/jobs/edited", json=asked)).raise_for_status()
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/edited/edit")
        await typed(page, "Expression", "0 4,16 * * *")
        await page.get_by_role("button", name="Show what changes").click()
        shown = page.locator("#difference")
        await expect(shown).to_be_visible()
        await expect(page.locator("#fields-changed")).to_contain_text("/schedule/cron")
        await expect(page.locator("#per-day")).to_have_text("1 runs a day now, 2 then")
        await expect(page.locator("#fires-after .new").first).to_be_visible()
        unsaved = (await api.get("/jobs/edited")).json()
        assert (unsaved["schedule"]["cron"], unsaved["revision"]) == ("0 4 * * *", 1)
        await typed(page, "Description", "twice a day")
        await expect(shown).to_be_hidden()  # what was compared is not what would be saved
        await page.get_by_role("button", name="Show what changes").click()
        await page.get_by_role("button", name="Save").click()
        await page.wait_for_url(re.compile("/ui/jobs/[0-9a-f-]{36}$"))
    saved = (await api.get("/jobs/edited")).json()
    assert (saved["schedule"]["cron"], saved["description"]) == ("0 4,16 * * *", "twice a day")


async def test_an_edit_of_a_job_that_somebody_else_changed_is_refused(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, target: Receiver
) -> None:
    asked = {"schedule": {"cron": "0 4 * * *"}, "target": {"url": target.url("/raced")}}
    (await api.put("/jobs/raced", json=asked)).raise_for_status()
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/raced/edit")
        await typed(page, "Description", "mine")
        (await api.patch("/jobs/raced", json={"description": "theirs"})).raise_for_status()
        await page.get_by_role("button", name="Show what changes").click()
        await expect(page.locator("#act-fault")).to_contain_text("Somebody else has changed")
    assert (await api.get("/jobs/raced")).json()["description"] == "theirs"


async def test_a_number_that_a_browser_would_change_is_not_saved_by_one(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, target: Receiver
) -> None:
    sent = '{"schedule": {"at": ["2100-01-01T00:00:00Z"]}, "target": {"url": "%s", "body": %s}}'
    text = sent % (target.url("/long"), '{"id": 12345678901234567890}')
    kind = {"Content-Type": "application/json"}
    (await api.put("/jobs/long", content=text, headers=kind)).raise_for_status()
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/long/edit")
        await expect(page.locator("#act-fault")).to_contain_text("12345678901234567890")
        await expect(page.get_by_role("button", name="Show what changes")).to_be_disabled()
        await page.goto("/ui/jobs/new")
        await page.get_by_label("Body, as JSON").fill('{"id": 12345678901234567890}')
        await expect(page.locator("#body-fault")).to_contain_text("longer than a browser")
