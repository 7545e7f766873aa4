"""Pages with data and without: each shows what there is, as text, and leads on to the others."""

import re
from collections import Counter
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
import msgspec
import pytest

from auditing import seal_pending
from factories import create, settle, waiting_run
from scheduler_svc.api.context import Deps
from scheduler_svc.api.limits import Limiter
from scheduler_svc.domain.limits import Policy
from scheduler_svc.store.pool import Pool
from serving import Clock

Browser = Callable[[Deps], httpx2.AsyncClient]
Json = dict[str, Any]
BOOTSTRAP = "a-bootstrap-key-of-enough-length"
OURS = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
EVIL = "</pre></title><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
NOON_MS = 1_767_614_400_000
"""2026-01-05T12:00:00Z, a Monday."""
MINUTE_MS = 60_000
ELSEWHERE = {"/docs"}
SAME_MAX = 4
"""Addresses of one path that are walked; they differ in their query."""


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.ms = NOON_MS
    return made


@pytest.fixture
async def job(http: httpx2.AsyncClient, pool: Pool, clock: Clock) -> Json:
    """A job whose every text is markup, with a run that succeeded, one that failed, one to come."""
    made = await create(
        http,
        name="evil",
        description=EVIL,
        labels={"team": EVIL},
        schedule={"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
        target={"body": {"text": EVIL}, "headers": {"X-Text": "<b>&"}},
    )
    for minutes, status, reason in ((9, "succeeded", None), (6, "failed", "attempts")):
        at_ms = NOON_MS - minutes * MINUTE_MS
        run = await waiting_run(pool, UUID(made["id"]), at_ms=at_ms, job_name="evil")
        await _ended(pool, str(run), made["id"], at_ms, status, reason)
    await waiting_run(pool, UUID(made["id"]), at_ms=NOON_MS + MINUTE_MS, job_name="evil")
    await http.patch(f"/jobs/{made['id']}", json={"priority": 7, "description": f"{EVIL}!"})
    return made


async def _ended(
    pool: Pool, run: str, job: str, at_ms: int, status: str, reason: str | None
) -> None:
    """Let a replica take a waiting run and end it."""
    await pool.execute(
        "UPDATE runs SET status = 'running', attempt_count = 1, replica = $2 WHERE id = $1",
        UUID(run),
        UUID(int=1),
    )
    record = {
        "number": 1,
        "started_at": "2026-01-05T11:51:00Z",
        "duration_ms": 12,
        "outcome": "protocol_error",
        "error": EVIL,
    }
    failed = status == "failed"
    records = [record] if failed else []
    await settle(pool, run, job, now_ms=at_ms, status=status, reason=reason, records=records)


def links(page: str) -> set[str]:
    return {unescape(found) for found in re.findall(r'href="([^"#]+)"', page)}


async def walked(http: httpx2.AsyncClient) -> dict[str, str]:
    """Follow every link from the overview on; return the pages by address."""
    found: dict[str, str] = {}
    seen: Counter[str] = Counter()  # one explanation leads to the next, for ever
    to_do = ["/ui"]
    while to_do:
        address = to_do.pop()
        path = urlsplit(address).path
        if address in found or path in ELSEWHERE or not path.startswith("/ui"):
            continue
        seen[path] += 1
        if seen[path] > SAME_MAX:
            continue
        answer = await http.get(address)
        assert answer.status_code == 200, address
        found[address] = answer.text if "html" in answer.headers["content-type"] else ""
        to_do += links(found[address])
    return found


async def test_every_link_of_every_page_leads_somewhere(
    http: httpx2.AsyncClient, job: Json
) -> None:
    pages = await walked(http)
    seen = {urlsplit(address).path for address in pages}
    assert {"/ui", "/ui/jobs", f"/ui/jobs/{job['id']}", "/ui/runs"} <= seen
    assert len(pages) > 8


async def test_whatever_callers_wrote_is_shown_as_text(http: httpx2.AsyncClient, job: Json) -> None:
    pages = await walked(http)
    for action in ("pause", "resume", "trigger", "delete"):
        address = f"/ui/jobs/bulk?action={action}&q=%3Cscript%3Ealert(1)"
        pages[address] = (await http.get(address)).text
    shown = 0
    for address, page in pages.items():
        assert "<script>" not in page, address
        assert "<img" not in page, address
        assert "onerror=alert(2)>" not in page, address
        bare = re.sub(r'"[^"<>]*"', '""', page)
        assert re.findall(r"<script(?! src=| type=)|<[^>]*\s(?:on\w+|style)=", bare) == [], address
        shown += "&lt;script&gt;" in page
    assert shown > 4


async def test_a_database_without_a_row_has_pages_that_say_what_to_do(
    http: httpx2.AsyncClient,
) -> None:
    pages = await walked(http)
    assert "Nothing is to come" in pages["/ui"]
    assert "There are no jobs yet" in pages["/ui/jobs"]
    assert "Nothing has run yet" in pages["/ui/runs"]
    assert "Nothing failed" in pages["/ui"]


async def test_the_overview_counts_what_was_due_and_what_failed_of_it(
    http: httpx2.AsyncClient, job: Json
) -> None:
    page = (await http.get("/ui")).text
    assert "The past hour: 2 fires, 1 failed." in page
    figures = dict(re.findall(r'<dt>([^<]+)</dt><dd class="figure">(?:<a[^>]*>)?([^<]+)', page))
    assert figures["Fires, past hour"] == "2"
    assert figures["Failed, past hour"] == "1"
    assert figures["Jobs"] == "1"
    again = (await http.get("/ui")).text
    assert "The past hour: 2 fires, 1 failed." in again


async def test_what_lies_ahead_is_on_the_chart(http: httpx2.AsyncClient, clock: Clock) -> None:
    await create(http, schedule={"every": "10m"})
    page = (await http.get("/ui")).text
    assert "To come: 12." in page or "To come: 11." in page
    assert "data-pending" not in page
    assert "bar-next" in (await http.get("/ui/ahead")).text


async def test_the_page_of_a_job_says_when_it_runs_and_warns_of_clock_changes(
    http: httpx2.AsyncClient, job: Json
) -> None:
    page = (await http.get("/ui/jobs/evil")).text
    assert "At 02:30, Europe/Berlin" in page
    assert "dst gap" in page
    assert "Tue 02:30 +01:00" in page
    assert 'datetime="2026-01-06T01:30:00Z" data-zone="Europe/Berlin"' in page
    assert "Lateness of the last 2 runs" in page
    assert "Mon 05 Jan 2026: 2 runs, 1 failed" in page
    assert "Tue 06 Jan 2026: 1 to come" in page


async def test_a_page_that_is_there_asks_for_what_changes_alone(
    http: httpx2.AsyncClient, job: Json
) -> None:
    part = (await http.get("/ui/jobs/evil?part=live")).text
    whole = (await http.get("/ui/jobs/evil")).text
    regions = set(re.findall(r'data-region="(\w+)"', part))
    assert {"state", "schedule", "runs"} == regions
    assert regions < set(re.findall(r'data-region="(\w+)"', whole))
    assert "<script" not in part


async def test_the_history_of_a_job_shows_both_sides_of_a_change(
    http: httpx2.AsyncClient, job: Json, pool: Pool, clock: Clock
) -> None:
    await seal_pending(pool)
    page = (await http.get("/ui/jobs/evil")).text
    assert "<strong>updated</strong>" in page
    assert "<h3>priority</h3>" in page
    assert re.search(r"before: </span>not set</pre>.*after: </span>7</pre>", page)


async def test_a_list_goes_on_page_by_page_and_keeps_its_filter(
    http: httpx2.AsyncClient,
) -> None:
    sent = {
        "jobs": [
            {
                "schedule": {"every": "1h"},
                "target": {"url": "http://127.0.0.1:9/"},
                "labels": {"n": "x"},
            }
        ]
        * 51
    }
    assert (await http.post("/jobs/bulk", json=sent)).status_code < 300
    first = (await http.get("/ui/jobs?label=n%3Ax&sort=next_fire_at")).text
    (following,) = re.findall(r'rel="next" href="([^"]+)"', first)
    address = unescape(following)
    assert "label=n%3Ax" in address
    assert "sort=next_fire_at" in address
    second = (await http.get(address)).text
    assert first.count('<tr data-row="') == 50
    assert second.count('<tr data-row="') == 1
    assert "First page" in second


async def test_a_bulk_action_names_the_number_that_confirms_it(
    http: httpx2.AsyncClient, job: Json
) -> None:
    await create(http, labels={"team": "b"})
    page = (await http.get("/ui/jobs/bulk?action=pause&label=team%3Ab")).text
    assert "Pause 1 job" in page
    assert 'pattern="1"' in page
    assert 'name="filter.label" value="team:b" data-as="list"' in page
    every = (await http.get("/ui/jobs/bulk?action=delete")).text
    assert "all jobs" in every
    assert 'pattern="2"' in every
    assert (await http.get("/ui/jobs/bulk?action=explode")).status_code == 404


async def test_runs_are_found_by_job_status_and_time(http: httpx2.AsyncClient, job: Json) -> None:
    async def count(query: str) -> int:
        return (await http.get(f"/ui/runs?{query}")).text.count('<tr data-row="')

    assert await count("job=evil") == 3
    assert await count(f"job={job['id']}&status=failed") == 1
    assert await count("status=succeeded") == 1
    assert await count("since=2026-01-05T11:53") == 2
    assert await count("until=2026-01-05T11:53") == 1
    assert "There is no such job" in (await http.get("/ui/runs?job=nobody")).text


async def test_what_the_api_refuses_is_a_page_that_says_why(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/ui/jobs?label=nonsense")
    assert answer.status_code == 422
    assert "is not of the form key:value" in answer.text
    assert (await http.get("/ui/jobs?cursor=made-up")).status_code == 422
    missing = await http.get("/ui/jobs/nobody")
    assert missing.status_code == 404
    assert "It may have been deleted" in missing.text


async def logged_in(http: httpx2.AsyncClient, *scopes: str, namespace: str) -> None:
    root = {"Authorization": f"Bearer {BOOTSTRAP}"}
    sent = {"name": "ada", "scopes": list(scopes), "namespace": namespace}
    key = (await http.post("/api-keys", json=sent, headers=root)).json()["key"]
    done = await http.post("/ui/login", json={"key": key}, headers=OURS)
    assert done.status_code == 200, done.text


async def test_nobody_sees_the_jobs_of_another_namespace(
    guarded: Deps, browser: Browser, http: httpx2.AsyncClient, job: Json
) -> None:
    async with browser(guarded) as other:
        await logged_in(other, "admin", namespace="team-b")
        for address in (f"/ui/jobs/{job['id']}", "/ui/jobs/evil"):
            answer = await other.get(address)
            assert answer.status_code == 404
        for address in ("/ui", "/ui/ahead", "/ui/jobs", "/ui/runs", f"/ui/runs?job={job['id']}"):
            page = (await other.get(address)).text
            assert "evil" not in page.replace(f"job={job['id']}", ""), address
            assert "&lt;script&gt;" not in page
        overview = (await other.get("/ui")).text
        assert "The past hour: 0 fires, 0 failed. To come: 0." in overview
        assert "all jobs" in (await other.get("/ui/jobs/bulk?action=delete")).text
        assert "0 jobs" in (await other.get("/ui/jobs/bulk?action=delete")).text


async def test_a_caller_of_all_namespaces_sees_the_one_that_was_chosen(
    guarded: Deps, browser: Browser, http: httpx2.AsyncClient, job: Json
) -> None:
    async with browser(guarded) as other:
        await logged_in(other, "admin", namespace="*")
        assert "evil" in (await other.get("/ui/jobs")).text
        other.cookies.set("scheduler_namespace", "team-b")
        page = (await other.get("/ui/jobs")).text
        assert 'name="namespace" content="team-b"' in page
        assert "There are no jobs yet" in page
        assert "The past hour: 0 fires" in (await other.get("/ui")).text
        assert (await other.get("/ui/jobs/evil")).status_code == 404
        other.cookies.set("scheduler_namespace", "No such name!")
        assert "evil" in (await other.get("/ui/jobs")).text
    async with browser(guarded) as bound:
        await logged_in(bound, "admin", namespace="team-b")
        bound.cookies.set("scheduler_namespace", "default")
        assert "There are no jobs yet" in (await bound.get("/ui/jobs")).text


async def test_a_page_leaves_out_what_its_key_may_not_see(
    guarded: Deps, browser: Browser, http: httpx2.AsyncClient, job: Json
) -> None:
    async with browser(guarded) as other:
        await logged_in(other, "jobs:read", namespace="default")
        page = (await other.get("/ui/jobs/evil")).text
        assert "shown to keys with the scope admin" in page
        assert "2 runs" not in page
        assert "Run now</button>" not in page
        assert "data-live" not in page
        assert "The past hour" not in (await other.get("/ui")).text
        for address in ("/ui/runs", "/ui/ahead"):
            refused = await other.get(address)
            assert refused.status_code == 403
            assert "runs:read" in refused.text


async def test_what_was_foreseen_for_others_is_not_for_who_may_not_see_jobs(
    guarded: Deps, browser: Browser, http: httpx2.AsyncClient
) -> None:
    await create(http, schedule={"every": "10m"})
    async with browser(guarded) as other:
        await logged_in(other, "admin", namespace="default")
        assert "bar-next" in (await other.get("/ui")).text
        await logged_in(other, "runs:read", namespace="default")
        for address in ("/ui", "/ui/ahead"):
            page = (await other.get(address)).text
            assert "The past hour" in page
            assert "bar-next" not in page


async def test_a_job_whose_last_instant_has_come_is_still_shown(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="once", schedule={"at": "2026-01-05T12:00:01Z"})
    clock.ms = NOON_MS + 5_000
    assert "once" in (await http.get("/ui")).text
    assert (await http.get("/ui/jobs/once")).status_code == 200


async def test_what_can_hardly_be_counted_is_still_shown_and_compared(
    http: httpx2.AsyncClient,
) -> None:
    often = {"every": "1s", "exclude": ["*/2 * * * * *"]}
    await create(http, name="often", schedule=often)
    page = await http.get("/ui/jobs/often")
    assert page.status_code == 200
    assert "2,000 or more to come" in page.text
    slower = {"schedule": {"every": "30s", "exclude": None}}
    compared = await http.patch("/jobs/often?dry_run=true", json=slower)
    assert compared.status_code == 200


async def test_pages_count_against_the_limits_of_their_caller(
    deps: Deps, browser: Browser, pool: Pool
) -> None:
    limited = msgspec.structs.replace(deps, meter=Limiter(pool, [Policy("reads", 180)]))
    async with browser(limited) as http:
        answers = [await http.get("/ui/jobs") for _ in range(20)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers
    assert "Wait a moment" in answers[-1].text
