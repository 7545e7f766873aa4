"""Sessions of browsers: begun with a key, bound to it, guarded against other pages, and ended."""

import re
from typing import Any

import httpx2
import msgspec
import pytest

from factories import MORNING_MS, body
from scheduler_svc.api.app import build_app
from scheduler_svc.api.context import Deps
from scheduler_svc.api.cookie import CSRF_HEADER, csrf_of
from scheduler_svc.api.gate import Gate
from scheduler_svc.api.limits import Limiter
from scheduler_svc.api.sessions import Sessions
from scheduler_svc.domain.limits import Policy
from scheduler_svc.store.pool import Pool
from scheduler_svc.web.pages import pages
from serving import Clock

BOOTSTRAP = "a-bootstrap-key-of-enough-length"
ROOT = {"Authorization": f"Bearer {BOOTSTRAP}"}
HTTPS, LOCAL = "https://scheduler.test", "http://127.0.0.1:8080"
OURS = {"Origin": HTTPS, "Sec-Fetch-Site": "same-origin"}
COOKIE = "__Host-scheduler_session"
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
Json = dict[str, Any]


class Hand:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def deps(deps: Deps, pool: Pool, clock: Clock, hand: Hand) -> Deps:
    clock.ms = MORNING_MS
    sessions = Sessions(
        pool, clock, deps.random_bytes, idle_seconds=3600, most_seconds=4 * 3600, clock=hand
    )
    gate = Gate(pool, clock, required=True, bootstrap_key=BOOTSTRAP, sessions=sessions, clock=hand)
    return msgspec.structs.replace(deps, gate=gate, loopback_only=False)


def browser(deps: Deps, base: str = HTTPS) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(build_app(deps, pages=pages()))
    return httpx2.AsyncClient(transport=transport, base_url=base)


async def key(http: httpx2.AsyncClient, *scopes: str, **more: Any) -> Json:
    sent = {"name": "ada", "scopes": list(scopes) or ["admin"], **more}
    made: Json = (await http.post("/api-keys", json=sent, headers=ROOT)).json()
    return made


async def logged_in(http: httpx2.AsyncClient, text: str) -> Json:
    answer = await http.post("/ui/login", json={"key": text}, headers=OURS)
    assert answer.status_code == 200, answer.text
    shown: Json = answer.json()
    return shown


async def test_a_session_acts_with_the_scopes_and_the_namespace_of_its_key(deps: Deps) -> None:
    async with browser(deps) as http:
        made = await key(http, "jobs:read", namespace="team-a")
        shown = await logged_in(http, made["key"])
        assert (shown["name"], shown["namespace"], shown["scopes"]) == (
            *("ada", "team-a"),
            ["jobs:read"],
        )
        assert (await http.get("/jobs")).status_code == 200
        told = await http.get("/jobs", headers={"Scheduler-Namespace": "team-b"})
        assert told.status_code == 403
        mine = OURS | {"X-CSRF-Token": shown["csrf_token"]}
        assert (await http.post("/jobs", json=body(), headers=mine)).status_code == 403
        assert (await http.get("/ui/session")).json() == shown


async def test_the_cookie_is_ours_alone_and_the_token_is_stored_nowhere(
    deps: Deps, pool: Pool
) -> None:
    async with browser(deps) as http:
        made = await key(http)
        answer = await http.post("/ui/login", json={"key": made["key"]}, headers=OURS)
        (said,) = answer.headers.get_list("set-cookie")
        found = re.fullmatch(
            rf"{COOKIE}=([A-Za-z0-9_-]{{43}}); Path=/; Max-Age=14400; HttpOnly; SameSite=Lax;"
            r" Secure",
            said,
        )
        assert found is not None, said
        assert answer.headers["cache-control"] == "no-store"
        rows = await pool.fetch("SELECT sessions::text AS text FROM sessions")
        assert len(rows) == 1
        assert found[1] not in rows[0]["text"]
        assert made["key"] not in rows[0]["text"]


async def test_each_login_has_a_token_of_its_own_and_ends_the_session_it_came_with(
    deps: Deps,
) -> None:
    async with browser(deps) as http:
        made = await key(http)
        await logged_in(http, made["key"])
        first = http.cookies[COOKIE]
        await logged_in(http, made["key"])
        assert http.cookies[COOKIE] != first
        http.cookies.clear()
        planted = {"Cookie": f"{COOKIE}={first}"}
        assert (await http.get("/jobs", headers=planted)).status_code == 401
        chosen = "A" * 43
        await http.post(
            "/ui/login", json={"key": made["key"]}, headers=OURS | {"Cookie": f"{COOKIE}={chosen}"}
        )
        assert http.cookies[COOKIE] != chosen


async def test_a_revoked_key_ends_its_sessions_within_a_second(deps: Deps, hand: Hand) -> None:
    async with browser(deps) as http:
        made = await key(http)
        await logged_in(http, made["key"])
        assert (await http.get("/jobs")).status_code == 200
        cookies = dict(http.cookies)
        http.cookies.clear()
        assert (await http.delete(f"/api-keys/{made['id']}", headers=ROOT)).status_code == 204
        hand.seconds = 0.95
        http.cookies.update(cookies)
        over = await http.get("/jobs")
        assert (over.status_code, over.json()["code"]) == (401, "unauthenticated")


async def test_a_session_ends_idle_or_old_or_with_its_key_whichever_is_first(
    deps: Deps, clock: Clock, hand: Hand
) -> None:
    async def status(http: httpx2.AsyncClient, after_ms: int) -> int:
        clock.ms = MORNING_MS + after_ms
        hand.seconds += 1
        return (await http.get("/jobs")).status_code

    async with browser(deps) as http:
        clock.ms = MORNING_MS
        made = await key(http)
        await logged_in(http, made["key"])
        assert await status(http, 59 * MINUTE_MS) == 200
        assert await status(http, 118 * MINUTE_MS) == 200
        assert await status(http, 179 * MINUTE_MS) == 401
        clock.ms = MORNING_MS
        await logged_in(http, made["key"])
        for minutes in range(50, 240, 50):
            assert await status(http, minutes * MINUTE_MS) == 200
        assert await status(http, 4 * HOUR_MS) == 401
        clock.ms = MORNING_MS
        ending = await key(http, expires_at="2026-01-05T09:30:00Z")
        await logged_in(http, ending["key"])
        ends_ms = 30 * MINUTE_MS + (9 * HOUR_MS - MORNING_MS % (24 * HOUR_MS))
        assert await status(http, ends_ms - 1000) in {200, 401}
        assert await status(http, ends_ms + 1000) == 401


async def test_logging_out_ends_the_session_and_takes_the_cookie_away(
    deps: Deps, pool: Pool
) -> None:
    async with browser(deps) as http:
        shown = await logged_in(http, (await key(http))["key"])
        token = http.cookies[COOKIE]
        answer = await http.post("/ui/logout", headers=OURS | {"X-CSRF-Token": shown["csrf_token"]})
        assert answer.status_code == 204
        assert f"{COOKIE}=; Path=/; Max-Age=0" in answer.headers["set-cookie"]
        held = {"Cookie": f"{COOKIE}={token}"}
        assert (await http.get("/jobs", headers=held)).status_code == 401
        assert await pool.fetchval("SELECT count(*) FROM sessions") == 0
        assert (await http.post("/ui/logout")).status_code == 204


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://scheduler.test"},
    {"Origin": "https://sub.scheduler.test"},
    {"Origin": "https://scheduler.test:8443"},
    {"Origin": "https://scheduler.test.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": HTTPS},
]


@pytest.mark.parametrize("foreign", FOREIGN)
async def test_a_page_of_another_origin_changes_nothing_even_with_the_token(
    deps: Deps, pool: Pool, foreign: dict[str, str]
) -> None:
    async with browser(deps) as http:
        shown = await logged_in(http, (await key(http))["key"])
        csrf = {"X-CSRF-Token": shown["csrf_token"]}
        for method, path in (
            ("POST", "/jobs"),
            ("PUT", "/jobs/a"),
            ("DELETE", "/jobs/a"),
            ("POST", "/ui/logout"),
        ):
            answer = await http.request(method, path, json=body(), headers=foreign | csrf)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert await pool.fetchval("SELECT count(*) FROM jobs") == 0
        refused = await http.post("/ui/login", json={"key": BOOTSTRAP}, headers=foreign)
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers


async def test_a_change_without_the_sessions_own_token_is_refused(deps: Deps) -> None:
    async with browser(deps) as http:
        made = await key(http)
        other = await logged_in(http, made["key"])
        shown = await logged_in(http, made["key"])
        for given in ("", other["csrf_token"], "%FC", shown["csrf_token"][:-1], "0" * 64):
            refused = await http.post("/jobs", json=body(), headers=OURS | {"X-CSRF-Token": given})
            assert refused.status_code == 403
            assert "X-CSRF-Token" in refused.json()["detail"]
        mine = OURS | {"X-CSRF-Token": shown["csrf_token"]}
        assert (await http.post("/jobs", json=body(), headers=mine)).status_code == 201


async def test_a_key_in_the_header_needs_no_token_and_wins_over_the_cookie(deps: Deps) -> None:
    async with browser(deps) as http:
        weak = await key(http, "jobs:read")
        await logged_in(http, weak["key"])
        answer = await http.post("/jobs", json=body(), headers=ROOT)
        assert answer.status_code == 201
        wrong = await http.get("/jobs", headers={"Authorization": "Bearer sk_nobody"})
        assert wrong.status_code == 401


async def test_without_https_a_session_is_begun_on_this_machine_alone(deps: Deps) -> None:
    async with browser(deps, "http://scheduler.test") as http:
        refused = await http.post("/ui/login", json={"key": BOOTSTRAP})
        assert (refused.status_code, "https" in refused.json()["detail"]) == (403, True)
    async with browser(deps, LOCAL) as http:
        answer = await http.post("/ui/login", json={"key": BOOTSTRAP}, headers={"Origin": LOCAL})
        assert answer.status_code == 200
        assert answer.headers["set-cookie"].startswith("scheduler_session=")
        assert "Secure" not in answer.headers["set-cookie"]
        assert (await http.get("/jobs")).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        "scheduler_session={}",
        f"{COOKIE}={{}}; {COOKIE}=other",
        f"{COOKIE}={{}}x",
        f"{COOKIE.lower()}={{}}",
        f'{COOKIE}="{{}}"',
        f"{COOKIE}",
        f"{COOKIE}=",
    ],
)
async def test_over_tls_only_the_one_cookie_that_others_can_not_set_counts(
    deps: Deps, sent: str
) -> None:
    async with browser(deps) as http:
        await logged_in(http, BOOTSTRAP)
        token = http.cookies[COOKIE]
        http.cookies.clear()
        answer = await http.get("/jobs", headers={"Cookie": sent.format(token)})
        assert answer.status_code == 401


async def test_keys_that_fail_are_limited_by_address_at_the_login_too(
    deps: Deps, pool: Pool, hand: Hand
) -> None:
    limited = msgspec.structs.replace(
        deps, meter=Limiter(pool, [Policy("logins", 180)], clock=hand)
    )
    async with browser(limited) as http:
        statuses = [
            (await http.post("/ui/login", json={"key": "sk_x"}, headers=OURS)).status_code
            for _ in range(20)
        ]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert (
            await http.post("/ui/login", json={"key": BOOTSTRAP}, headers=OURS)
        ).status_code == 429


async def test_cookies_that_are_guesses_are_limited_by_address(
    deps: Deps, pool: Pool, hand: Hand
) -> None:
    limited = msgspec.structs.replace(
        deps, meter=Limiter(pool, [Policy("logins", 180)], clock=hand)
    )
    async with browser(limited) as http:
        statuses = [
            (await http.get("/jobs", headers={"Cookie": f"{COOKIE}={number:043d}"})).status_code
            for number in range(20)
        ]
    assert statuses[0] == 401
    assert statuses[-1] == 429


@pytest.mark.parametrize("kind", ["Authorization", "Cookie"])
async def test_who_asks_who_is_logged_in_guesses_no_more_than_anywhere_else(
    deps: Deps, pool: Pool, hand: Hand, kind: str
) -> None:
    limited = msgspec.structs.replace(
        deps, meter=Limiter(pool, [Policy("logins", 180)], clock=hand)
    )
    guess = {"Authorization": "Bearer sk_{}", "Cookie": f"{COOKIE}={{:043d}}"}[kind]
    async with browser(limited) as http:
        answers = [
            await http.get("/ui/session", headers={kind: guess.format(number)})
            for number in range(20)
        ]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert "retry-after" in answers[-1].headers


async def test_logouts_of_sessions_that_never_were_are_limited_by_address(
    deps: Deps, pool: Pool, hand: Hand
) -> None:
    limited = msgspec.structs.replace(
        deps, meter=Limiter(pool, [Policy("writes", 180)], clock=hand)
    )
    answers = []
    async with browser(limited) as http:
        for number in range(20):
            made_up = f"{number:043d}"
            theirs = {"Cookie": f"{COOKIE}={made_up}", CSRF_HEADER: csrf_of(made_up)}
            answers.append(await http.post("/ui/logout", headers=OURS | theirs))
    assert (answers[0].status_code, answers[-1].status_code) == (204, 429)
    assert "retry-after" in answers[-1].headers


async def test_a_key_beside_a_cookie_that_is_over_is_told_who_it_is(deps: Deps) -> None:
    async with browser(deps) as http:
        over = ROOT | {"Cookie": f"{COOKIE}={'A' * 43}"}
        shown = await http.get("/ui/session", headers=over)
        assert (shown.status_code, shown.json()["name"]) == (200, "bootstrap")
        assert shown.json()["csrf_token"] is None


async def test_a_form_logs_in_and_goes_on_to_a_path_of_ours(deps: Deps) -> None:
    async with browser(deps) as http:
        page = await http.get("/ui/login?next=/runs")
        assert 'value="/runs"' in page.text
        sent = {"key": BOOTSTRAP, "next": "/runs"}
        answer = await http.post("/ui/login", data=sent, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        assert answer.headers["set-cookie"].startswith(COOKIE)
        csrf = (await http.get("/ui/session")).json()["csrf_token"]
        refused = await http.post("/ui/logout", data={"csrf_token": "x"}, headers=OURS)
        assert refused.status_code == 403
        out = await http.post("/ui/logout", data={"csrf_token": csrf}, headers=OURS)
        assert (out.status_code, out.headers["location"]) == (303, "/ui/login")


@pytest.mark.parametrize(
    "onward",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/a\\b",
        " /a",
        "",
        "/ü",
    ],
)
async def test_a_form_never_goes_on_to_another_site(deps: Deps, onward: str) -> None:
    async with browser(deps) as http:
        answer = await http.post("/ui/login", data={"key": BOOTSTRAP, "next": onward}, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"key": "sk_x"}, "key"),
        ({"next": "/"}, "form"),
        ({"key": BOOTSTRAP, "admin": "yes"}, "form"),
    ],
)
async def test_a_form_that_fails_comes_back_to_the_page_with_the_reason(
    deps: Deps, sent: dict[str, str], why: str
) -> None:
    async with browser(deps) as http:
        answer = await http.post("/ui/login", data=sent, headers=OURS)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/login?failed={why}")
        assert "set-cookie" not in answer.headers
        page = await http.get(answer.headers["location"])
        assert '<p role="alert">' in page.text


async def test_a_login_that_failed_is_tried_again_on_the_way_to_the_same_page(deps: Deps) -> None:
    async with browser(deps) as http:
        sent = {"key": "wrong", "next": "/ui/runs?status=failed"}
        answer = await http.post("/ui/login", data=sent, headers=OURS)
        onward = answer.headers["location"]
        assert onward == "/ui/login?failed=key&next=%2Fui%2Fruns%3Fstatus%3Dfailed"
        assert 'value="/ui/runs?status=failed"' in (await http.get(onward)).text


async def test_the_page_shows_texts_as_texts_and_runs_nothing(deps: Deps) -> None:
    async with browser(deps) as http:
        page = await http.get('/ui/login?next="><script>alert(1)</script>&failed=<b>')
        assert page.status_code == 200
        assert "<script" not in page.text
        assert "<b>" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["cache-control"] == "no-store"


async def test_in_development_a_page_of_another_origin_changes_nothing_either(
    deps: Deps, clock: Clock, pool: Pool
) -> None:
    open_to_all = msgspec.structs.replace(
        deps, gate=Gate(pool, clock, required=False), loopback_only=True
    )
    async with browser(open_to_all, LOCAL) as http:
        made = await http.post("/jobs", json=body(name="a"))
        assert made.status_code == 201
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await http.post("/jobs/a/pause", headers=foreign)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await http.get("/jobs/a")).json()["state"] == "active"
        own = {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"}
        assert (await http.post("/jobs/a/pause", headers=own)).status_code == 200
