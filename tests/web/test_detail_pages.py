"""Pages about one thing and what lies ahead, as they are without a script: all is in the HTML."""

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx2
import pytest

from factories import MORNING_MS, create
from scheduler_svc.api.context import Deps
from scheduler_svc.store.pool import Pool
from serving import Clock

Json = dict[str, Any]
MINUTE_MS = 60_000


def shown(answer: httpx2.Response) -> str:
    """The words of a page, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


async def test_explain_answers_a_plain_form_by_the_jobs_own_clock(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS
    schedule = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
    job = await create(http, name="daily", schedule=schedule)
    found = await http.get("/ui/jobs/daily/explain?at=2026-01-06T09:00")
    assert found.status_code == 200
    assert "It will be sent." in shown(found)
    assert "2026-01-06T08:00:00Z" in found.text
    assert 'value="2026-01-06T09:00:00"' in found.text
    never = await http.get(f"/ui/jobs/{job['id']}/explain?at=2026-01-06T09:30")
    assert "Nothing runs then." in shown(never)


async def test_explain_says_what_is_odd_about_a_clock_and_what_can_not_be_read(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    await create(http, name="nightly", schedule=schedule)
    skipped = await http.get("/ui/jobs/nightly/explain?at=2026-03-29T02:30")
    assert "The clocks skip this time" in shown(skipped)
    wrong = await http.get("/ui/jobs/nightly/explain?at=soon")
    assert wrong.status_code == 200
    assert 'aria-invalid="true"' in wrong.text
    assert "Give a date and a time" in shown(wrong)
    for end in ("9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00Z", "1969-01-01T00:00Z"):
        assert (await http.get(f"/ui/jobs/nightly/explain?at={end}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/ui/forecast", "Nothing fires in this time"),
        ("/ui/replicas", "No replica sends"),
        ("/ui/dead-letters", "Nothing is dead"),
        ("/ui/dead-letters?trigger=manual", "No failed run matches"),
        ("/ui/audit", "Nothing has been changed yet"),
        ("/ui/audit?action=job.created", "No entry matches"),
        ("/ui/keys", "There is no key yet"),
    ],
)
async def test_an_empty_page_says_what_to_do(
    http: httpx2.AsyncClient, path: str, says: str
) -> None:
    found = await http.get(path)
    assert found.status_code == 200
    assert says in shown(found)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/runs/nothing", 404),
        (f"/ui/runs/{UUID(int=1, version=4)}", 404),
        ("/ui/jobs/nobody/explain", 404),
        ("/ui/jobs/nobody/edit", 404),
        ("/ui/jobs/new?copy=nobody", 404),
        ("/ui/dead-letters?job=nobody", 422),
        ("/ui/dead-letters?since=soon", 422),
        ("/ui/audit?job=nobody", 422),
        ("/ui/audit?cursor=stale", 422),
        ("/ui/forecast?from=soon", 422),
        ("/ui/forecast?from=9999-12-31T23:00", 422),
        ("/ui/forecast?hours=9000", 200),
    ],
)
async def test_what_can_not_be_asked_is_a_page_that_says_so(
    http: httpx2.AsyncClient, path: str, status: int
) -> None:
    found = await http.get(path)
    assert found.status_code == status, found.text
    assert "<h1>" in found.text


async def test_a_run_shows_its_attempts_and_its_request_and_what_may_be_done(
    http: httpx2.AsyncClient, clock: Clock, pool: Pool
) -> None:
    clock.ms = MORNING_MS
    secret = {"headers": {"X-Kind": "weekly", "Authorization": "Bearer hidden-word"}}
    job = await create(http, name="hook", target={"body": {"n": 1}, **secret})
    made: Json = (await http.post(f"/jobs/{job['id']}/trigger")).json()
    waiting = await http.get(f"/ui/runs/{made['id']}")
    assert "Nothing was sent yet" in shown(waiting)
    assert f'action="/runs/{made["id"]}/cancel"' in waiting.text
    assert 'data-opens="replay"' not in waiting.text
    assert "hidden-word" not in waiting.text
    assert "Authorization *** " in shown(waiting)
    assert "X-Kind weekly" in shown(waiting)
    (await http.post(f"/runs/{made['id']}/cancel")).raise_for_status()
    ended = await http.get(f"/ui/runs/{made['id']}")
    assert "ended before its first attempt: cancelled" in shown(ended)
    assert 'data-opens="replay"' in ended.text


async def test_dead_letters_go_by_the_name_of_a_job_and_count_by_its_id(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS
    job = await create(http, name="hook")
    found = await http.get("/ui/dead-letters?job=hook&since=2026-01-01T00:00")
    assert "No failed run matches" in shown(found)
    gone = await http.get(f"/ui/dead-letters?job={job['id']}")
    assert gone.status_code == 200


async def test_an_edit_begins_with_the_definition_and_the_revision_that_it_is_of(
    http: httpx2.AsyncClient,
) -> None:
    job = await create(http, name="hook", description='"</textarea><b>bold')
    answer = await http.get(f"/jobs/{job['id']}")
    page = await http.get("/ui/jobs/hook/edit")
    etag = answer.headers["etag"].replace('"', "&#34;")
    assert f'data-etag="{etag}"' in page.text
    assert "<b>bold" not in page.text
    copied = await http.get("/ui/jobs/new?copy=hook")
    assert "&#34;name&#34;: &#34;hook&#34;" not in copied.text
    assert "bold" in copied.text


async def test_a_key_that_may_not_is_told_which_scope_it_lacks(
    guarded: Deps, browser: Callable[[Deps], httpx2.AsyncClient]
) -> None:
    root = {"Authorization": "Bearer a-bootstrap-key-of-enough-length"}
    async with browser(guarded) as http:
        asked = {"name": "reader", "scopes": ["jobs:read", "runs:read"]}
        key: Json = (await http.post("/api-keys", json=asked, headers=root)).json()
        mine = {"Authorization": f"Bearer {key['key']}"}
        for path in ("/ui/keys", "/ui/audit", "/ui/replicas"):
            found = await http.get(path, headers=mine)
            assert found.status_code == 403
            assert "admin" in shown(found)
        form = await http.get("/ui/jobs/new", headers=mine)
        assert "jobs:write" in shown(form)
        assert (await http.get("/ui/dead-letters", headers=mine)).status_code == 200


async def test_a_form_of_ours_may_say_where_it_comes_from(http: httpx2.AsyncClient) -> None:
    """Without that a browser says `Origin: null`, which is refused: nobody could log in."""
    for path in ("/ui/login", "/ui", "/ui/keys"):
        assert (await http.get(path)).headers["referrer-policy"] == "same-origin"
    assert (await http.get("/jobs")).headers["referrer-policy"] == "no-referrer"
