"""The rig sees what it is there to see: a rig that is blind would find every page good."""

import pytest
from playwright.async_api import Browser

from fleet import Replica
from visiting import Seen, faults_of, visiting


async def test_what_a_page_must_not_do_is_seen(browser: Browser, service: Replica) -> None:
    async with visiting(browser, service.url("")) as page:
        await page.goto("/ui/login")
    seen = Seen(service.url(""))
    context = await browser.new_context(base_url=service.url(""))
    page = await context.new_page()
    page.on("request", seen.request)
    page.on("console", seen.message)
    page.on("dialog", seen.dialog)
    page.on("pageerror", lambda error: seen.thrown.append(str(error)))
    await page.goto("/ui/login")
    await page.evaluate(
        """async () => {
            const inline = document.createElement('script');
            inline.textContent = 'alert(1)';
            document.body.append(inline);
            await fetch('http://127.0.0.1:9/').catch(() => null);
        }"""
    )
    await page.goto("about:blank")
    await page.route("http://127.0.0.1:9/", lambda route: route.abort())
    await page.set_content(
        "<img src='http://127.0.0.1:9/'><script>alert(1); throw Error('x')</script>"
    )
    await context.close()
    assert seen.refused
    assert seen.elsewhere
    assert seen.dialogs == ["1"]
    assert seen.thrown == ["x"]
    with pytest.raises(AssertionError):
        seen.check()


async def test_axe_finds_the_faults_that_it_is_asked_for(
    browser: Browser, service: Replica
) -> None:
    async with visiting(browser, service.url(""), bypass=True) as page:
        await page.goto("/ui/login")
        assert await faults_of(page) == []
        await page.locator("main").evaluate("main => main.append(document.createElement('input'))")
        assert [fault.partition(":")[0] for fault in await faults_of(page)] == ["label"]
