"""What one does on pages: run now, pause, replay, cancel, make keys, log in."""

import re

import httpx2
from playwright.async_api import Browser, expect

from fleet import Replica
from receiver import Receiver, answer, in_turn, silence
from visiting import BOOTSTRAP, Ended, Make, visiting


async def test_a_job_is_run_now_paused_and_resumed(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, make: Make
) -> None:
    job = await make("acted")
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/jobs/acted")
        await page.get_by_role("button", name="Pause").click()
        asked = page.get_by_role("dialog")
        await asked.get_by_label("Why").fill("the printer is on holiday")
        await asked.get_by_role("button", name="Pause").click()
        await expect(page.locator(".head .badge")).to_have_text("paused")
        await expect(page.locator("main")).to_contain_text("the printer is on holiday")
        await page.get_by_role("button", name="Run now").click()
        await page.get_by_label("Body for this run").fill('{"by": "hand"}')
        await page.get_by_role("dialog").get_by_role("button", name="Run now").click()
        await page.wait_for_url("**/ui/runs/*")
        await expect(page.locator(".head .badge")).to_have_text("succeeded")
        await page.goto("/ui/jobs/acted")
        await page.get_by_role("button", name="Resume").click()
        await page.get_by_role("dialog").get_by_role("button", name="Resume").click()
        await expect(page.locator(".head .badge")).to_have_text("active")
    assert (await api.get(f"/jobs/{job['id']}")).json()["state"] == "active"


async def test_a_failed_run_is_replayed_and_the_new_one_names_it(
    browser: Browser, service: Replica, make: Make, ended: Ended
) -> None:
    behaviour = in_turn(answer(503, b"closed"), answer(200))
    run = await ended(await make("replayed", behaviour, retry={"max_attempts": 1}))
    async with visiting(browser, service.url("")) as page:
        await page.goto(f"/ui/runs/{run['id']}")
        await expect(page.get_by_label("Body of the response")).to_have_text("closed")
        await page.get_by_role("button", name="Replay").click()
        await page.get_by_role("dialog").get_by_role("button", name="Replay").click()
        await page.wait_for_url(lambda url: run["id"] not in url)
        await expect(page.locator(".head .badge")).to_have_text("succeeded")
        await page.get_by_role("link", name=run["id"][-8:]).click()
        await expect(page.get_by_text("1 succeeded, 0 failed")).to_be_visible()
        await page.get_by_role("link", name="Explain").click()
        await expect(page.locator(".verdict")).to_be_visible()


async def test_a_run_under_way_is_cancelled_and_the_page_tells_of_its_end_by_itself(
    browser: Browser, service: Replica, api: httpx2.AsyncClient, make: Make
) -> None:
    job = await make("cancelled", silence())
    run = (await api.post(f"/jobs/{job['id']}/trigger")).json()
    async with visiting(browser, service.url("")) as page:
        await page.goto(f"/ui/runs/{run['id']}")
        await expect(page.locator(".live")).to_have_text("Live")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
        await expect(page.locator(".head .badge")).to_have_text("cancelled")


async def test_dead_letters_are_counted_then_replayed_and_their_progress_shown(
    browser: Browser, service: Replica, make: Make, ended: Ended
) -> None:
    closed = answer(503, b"closed")
    behaviour = in_turn(closed, closed, answer(200))
    job = await make("buried", behaviour, retry={"max_attempts": 1})
    for _ in range(2):
        await ended(job)
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/dead-letters")
        await page.get_by_label("Job, by its name or id").fill("buried")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("#replay-count")).to_have_text("2")
        await page.get_by_label("At most per minute").fill("6000")
        await page.get_by_role("button", name="Replay 2 runs").click()
        progress = page.get_by_role("region", name="Replays").locator("tbody tr").first
        await expect(progress).to_contain_text("completed")
        await expect(progress).to_contain_text("2 of 2")


async def test_a_key_is_made_shown_once_used_to_log_in_and_revoked(
    browser: Browser, service: Replica, guarded: Replica
) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/keys")
        await page.get_by_role("button", name="New key").click()
        await page.get_by_label("Name", exact=True).fill("visitor")
        await page.get_by_label("admin").check()
        await page.get_by_role("button", name="Make the key").click()
        await expect(page.locator("#made-key")).not_to_be_empty()
        key = await page.locator("#made-key").inner_text()
        assert re.fullmatch(r"sk_[0-9a-f]{8}_\S+", key)
        await page.reload()
        assert key not in await page.content()
        async with visiting(browser, guarded.url("")) as other:
            await other.goto("/ui/audit?action=job.created")
            await expect(other.get_by_role("heading", name="Log in")).to_be_visible()
            await other.get_by_label("API key").fill("sk_wrong")
            await other.get_by_role("button", name="Log in").click()
            await expect(other.get_by_role("alert")).to_contain_text("unknown")
            await other.goto("/ui/forecast")
            await other.get_by_label("API key").fill(key)
            await other.get_by_role("button", name="Log in").click()
            await other.wait_for_url("**/ui/forecast")
            await expect(other.get_by_text("visitor")).to_be_visible()
            await other.goto("/ui/keys")
            row = other.get_by_role("row", name="visitor")
            await row.get_by_role("button", name="Revoke").click()
            await other.get_by_role("dialog").get_by_role("button", name="Revoke").click()
            await expect(row).to_have_count(0)
            while "/ui/login" not in other.url:  # within a second, on every replica
                await other.goto("/ui/keys")


async def test_a_key_is_rotated_and_the_old_one_stays_for_a_while(
    browser: Browser, service: Replica, api: httpx2.AsyncClient
) -> None:
    asked = {"name": "turning", "scopes": ["jobs:read"]}
    old = (await api.post("/api-keys", json=asked)).json()
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/keys")
        await page.get_by_role("button", name="Rotate turning").click()
        await page.get_by_label("The old one goes on for").fill("1h")
        await page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
        await expect(page.locator("#made-key")).not_to_be_empty()
        new = await page.locator("#made-key").inner_text()
    assert new != old["key"]
    assert (await api.get(f"/api-keys/{old['id']}")).json()["expires_at"] is not None


async def test_a_session_acts_with_its_token_and_ends_by_logging_out(
    browser: Browser, service: Replica, guarded: Replica, make: Make, target: Receiver
) -> None:
    await make("guarded")
    async with visiting(browser, guarded.url("")) as page:
        await page.goto("/ui/jobs/guarded")
        await page.get_by_label("API key").fill(BOOTSTRAP)
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/ui/jobs/guarded")
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_role("dialog").get_by_role("button", name="Pause").click()
        await expect(page.locator(".head .badge")).to_have_text("paused")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.goto("/ui/jobs/guarded")
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
