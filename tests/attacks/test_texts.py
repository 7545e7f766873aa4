"""Texts that would be more than text: in statements, in the log, in headers, in pages."""

import json
import signal
from urllib.parse import quote

import httpx2
import pytest

from commands import COMMAND, development, free_port, program
from factories import body
from raw import Place
from scheduler_svc.store.pool import Pool

HOST = b"Host: localhost\r\n"
NASTY = [
    "'; DROP TABLE jobs; --",
    "' OR '1'='1",
    "$1 $$ \\' \\\\",
    "%",
    "_",
    "%" * 2000,
    "(a+)+$",
    "\\",
    '"><script>alert(1)</script>',
    "javascript:alert(1)",
    "{{7*7}} ${7*7} %s %(a)s {0} {x.__class__}",
    "=cmd|' /C calc'!A0",
    "a\r\nSet-Cookie: x=y",
    "\x1b[31mred\x1b[0m \u2028 \u2029 \x85 \u202e \u200b \ufeff",
    "🎉" * 100,
]


async def listed(http: httpx2.AsyncClient, query: str) -> list[str]:
    answer = await http.get(f"/jobs?{query}")
    assert answer.status_code in {200, 422}, answer.text
    return [job["name"] for job in answer.json().get("items", ())]


@pytest.mark.parametrize("text", NASTY)
async def test_a_text_is_a_text_wherever_it_is_given(place: Place, pool: Pool, text: str) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{place.port}") as http:
        sent = body(name="plain", description=text, labels={"a": text[:256]})
        assert (await http.post("/jobs", json=sent)).status_code == 201
        again = await http.get("/jobs/plain")
        assert again.json()["description"] == text
        assert again.headers["content-type"] == "application/json"
        assert again.headers["x-content-type-options"] == "nosniff"
        assert await listed(http, f"label={quote('a:' + text[:256])}") == ["plain"]
        for parameter in ("name_prefix", "sort", "state", "label", "cursor"):
            assert await listed(http, f"{parameter}={quote(text)}") == []
        for path in ("/jobs/{}", "/runs/{}", "/jobs/{}/runs", "/secrets/{}", "/ui/{}"):
            answer = await http.get(path.format(quote(text, safe="")))
            assert answer.status_code in {404, 405, 422}, (path, answer.text)
        refused = await http.post("/jobs", json=body(name=text))
        assert refused.status_code == 422
        assert "script" not in refused.headers["content-type"]
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 1


async def test_wildcards_of_a_search_are_what_they_are(place: Place) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{place.port}") as http:
        for name, text in (("one", "100% sure"), ("two", "under_score"), ("three", "plain")):
            sent = body(name=name, description=text)
            assert (await http.post("/jobs", json=sent)).status_code == 201
        assert await listed(http, "q=%25") == ["one"]
        assert await listed(http, "q=_") == ["two"]
        assert await listed(http, "q=%5C") == []
        assert await listed(http, "name_prefix=%25") == []


@pytest.mark.parametrize("field", ["X-Request-ID", "User-Agent", "Referer", "Idempotency-Key"])
async def test_no_field_of_a_request_comes_back_as_a_field_of_the_answer(
    place: Place, field: str
) -> None:
    evil = b"a%0d%0aX-Evil:%201, <b>\xff\xc3"
    (answer,) = await place.ask(
        b"GET /jobs HTTP/1.1\r\n" + HOST + field.encode() + b": " + evil + b"\r\n\r\n"
    )
    assert answer.status == 200
    assert "x-evil" not in answer.fields
    assert all("evil" not in text.lower() for text in answer.fields.values())


@pytest.mark.parametrize(
    "zone",
    [
        "../../../etc/passwd",
        "/etc/passwd",
        "localtime",
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "UTC\0",
        "europe/berlin",
        "x" * 10_000,
        "+02:00",
        "",
    ],
)
async def test_a_time_zone_is_one_of_the_list_or_none(place: Place, zone: str) -> None:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{place.port}") as http:
        schedule = {"cron": "* * * * *", "timezone": zone}
        answer = await http.post("/schedules/preview", json={"schedule": schedule})
    assert answer.status_code == 422
    assert "Traceback" not in answer.text
    assert "/etc" not in answer.text.replace(zone, "")


async def test_whatever_is_said_to_us_each_line_of_the_log_is_one_event(dsn: str) -> None:
    port = free_port()
    env = development(dsn, port, log_format="json", log_level="debug")
    async with program(*COMMAND, "serve", env=env) as running:
        await running.line("API ")
        greeted = len(running.lines)
        place = Place(port)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for text in NASTY:
                await http.get(f"/jobs/{quote(text, safe='')}?q={quote(text)}")
                await http.post("/jobs", json=body(description=text, labels={"a": text[:256]}))
        await place.ask(b"NONSENSE \x1b[31m\n{}\r\n\r\n")
        await place.ask(
            b"GET /a%0a%7b%22event%22:%22forged%22%7d HTTP/1.1\r\n"
            + HOST
            + b'X-Request-ID: a","event":"forged\r\n\r\n'
        )
        running.tell(signal.SIGTERM)
        assert await running.end() == 0
    events = [json.loads(line) for line in running.lines[greeted:]]
    assert all({"timestamp", "level", "event"} <= set(event) for event in events)
    asked = [event for event in events if event["event"] == "api.request"]
    assert len(asked) == 2 * len(NASTY) + 2
    assert not [event for event in events if event["event"] == "forged"]
    assert "\x1b" not in running.output
