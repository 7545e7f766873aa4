"""What holds for every page of the dashboard: its policy, its files, its way to the login."""

import re
from collections.abc import Callable
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

import httpx2
import msgspec
import pytest

from factories import body
from scheduler_svc.api.context import Deps
from scheduler_svc.web.pages import PAGES

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
OURS = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
Browser = Callable[[Deps], httpx2.AsyncClient]
FIXED = [page.path for page in PAGES if "{" not in page.path]
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}


@pytest.mark.parametrize("path", [*FIXED, "/ui/login", "/ui/nothing", "/ui/jobs/nobody"])
async def test_every_page_lets_nothing_in_but_our_own_files(
    http: httpx2.AsyncClient, path: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code in {200, 404}
    assert set(answer.headers["content-security-policy"].split("; ")) == POLICY
    assert answer.headers["cache-control"] == "no-store"
    loaded = re.findall(r'<(?:script|link|img|use)[^>]*?(?:src|href)="([^"]+)"', answer.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/ui/static/"), address
        assert (await http.get(address)).status_code == 200
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|<style|\sstyle=", answer.text) == []
    assert re.findall(r'(?:src|href|action)="(?!/(?!/))(?!#)([^"]*)"', answer.text) == []


async def test_files_are_kept_for_ever_under_their_digest_and_a_moment_under_another(
    http: httpx2.AsyncClient,
) -> None:
    page = (await http.get("/ui")).text
    (address,) = re.findall(r'href="(/ui/static/[^"]+/app\.css)"', page)
    assert "immutable" in (await http.get(address)).headers["cache-control"]
    stale = re.sub(r"static/[^/]+", "static/000000000000", address)
    assert (await http.get(stale)).headers["cache-control"] == "no-store"
    for name in ("nothing.css", "..%2fpages.py", "%2e%2e%2fpages.py"):
        found = await http.get(f"/ui/static/000000000000/{name}")
        assert found.status_code == 404


async def test_who_is_not_logged_in_comes_to_the_login_and_back(
    guarded: Deps, browser: Browser
) -> None:
    async with browser(guarded) as http:
        sent = await http.get("/ui?since=a%26b")
        assert sent.status_code == 303
        onward = urlsplit(sent.headers["location"])
        assert onward.path == "/ui/login"
        (back,) = parse_qs(onward.query)["next"]
        assert back == "/ui?since=a%26b"
        form = (await http.get(sent.headers["location"])).text
        assert 'value="/ui?since=a%26b"' in form
        done = await http.post("/ui/login", data={"key": BOOTSTRAP, "next": back}, headers=OURS)
        assert (done.status_code, done.headers["location"]) == (303, back)
        page = await http.get(back)
        assert page.status_code == 200
        (token,) = re.findall(r'name="csrf-token" content="([0-9a-f]+)"', page.text)
        (in_form,) = re.findall(r'name="csrf_token" value="([0-9a-f]+)"', page.text)
        assert token == in_form
        made = await http.post("/jobs", json=body(), headers=OURS | {"X-CSRF-Token": token})
        assert made.status_code == 201
        out = await http.post("/ui/logout", data={"csrf_token": token}, headers=OURS)
        assert out.status_code == 303
        assert (await http.get("/ui")).status_code == 303


@pytest.mark.parametrize("host", ["[", "a:b:c", "x?y", "x/z"])
async def test_a_host_that_is_no_part_of_an_address_still_leads_to_the_login(
    guarded: Deps, browser: Browser, host: str
) -> None:
    async with browser(msgspec.structs.replace(guarded, loopback_only=False)) as http:
        sent = await http.get("/ui/jobs/a%20%C3%A9?q=1", headers={"Host": host})
    assert sent.status_code == 303
    assert sent.headers["location"] == "/ui/login?next=%2Fui%2Fjobs%2Fa%2520%25C3%25A9%3Fq%3D1"


async def test_the_root_is_the_dashboard_for_a_browser(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui")
    told = await http.get("/", headers={"Accept": "*/*"})
    assert told.status_code == 200


async def test_what_is_no_page_is_a_page_that_says_so(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/ui/nothing/here")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "There is no page at this address." in answer.text


async def test_the_parts_of_a_page_are_no_requests_of_their_own(
    http: httpx2.AsyncClient, records: object
) -> None:
    await http.get("/ui")
    told = [record.path for record in records.requests]  # type: ignore[attr-defined]
    assert told == ["/ui"]


def test_no_script_makes_markup_of_texts() -> None:
    folder = files("scheduler_svc.web") / "static"
    scripts = {one.name: one.read_text() for one in folder.iterdir() if one.name.endswith(".js")}
    assert len(scripts) > 3
    banned = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://"
    )
    assert {
        name: found for name, text in scripts.items() if (found := re.findall(banned, text))
    } == {}
