"""Preview and upcoming: what a schedule means, in UTC, in its own zone and in words."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, Clock, create

HOUR_MS = 3_600_000
BERLIN = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def preview(http: httpx2.AsyncClient, **sent: Any) -> httpx2.Response:
    return await http.post("/schedules/preview", json=sent)


async def test_a_preview_names_instants_local_times_words_and_surprises(
    http: httpx2.AsyncClient,
) -> None:
    answer = await preview(http, schedule=BERLIN, **{"from": "2026-03-27T12:00:00Z", "count": 3})
    shown = answer.json()
    assert answer.status_code == 200
    assert [one["scheduled_for"] for one in shown["occurrences"]] == [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]
    assert [one["local"][11:] for one in shown["occurrences"]] == [
        "02:30:00+01:00",
        "03:00:00+02:00",
        "02:30:00+02:00",
    ]
    assert [one["note"] is None for one in shown["occurrences"]] == [True, False, True]
    assert shown["description"].startswith("At 02:30")
    assert [one["code"] for one in shown["warnings"]] == ["dst_gap", "dst_overlap"]
    assert shown["warnings"][0]["at"] == "2026-03-29T01:00:00Z"


async def test_a_preview_has_ten_occurrences_strictly_after_now_by_default(
    http: httpx2.AsyncClient,
) -> None:
    shown = (await preview(http, schedule={"cron": "0 8 * * *"})).json()
    assert len(shown["occurrences"]) == 10
    assert shown["occurrences"][0]["scheduled_for"] == "2026-01-06T08:00:00Z"


async def test_previews_page_by_from_without_gap_or_repeat(http: httpx2.AsyncClient) -> None:
    for schedule in (
        BERLIN,
        {"every": "7m", "anchor": "2026-01-01T00:00:00Z"},
        {"at": [f"2026-0{month}-01T00:00:00Z" for month in range(2, 9)]},
    ):
        whole = (await preview(http, schedule=schedule, count=7)).json()["occurrences"]
        paged: list[Any] = []
        begin = "2026-01-05T08:00:00Z"
        while len(paged) < 7:
            sent = {"from": begin, "count": 2}
            paged += (await preview(http, schedule=schedule, **sent)).json()["occurrences"]
            begin = paged[-1]["scheduled_for"]
        assert paged[:7] == whole


async def test_every_begins_at_from_where_it_has_no_anchor(http: httpx2.AsyncClient) -> None:
    sent = {"from": "2026-06-01T10:00:00+02:00", "count": 1}
    shown = (await preview(http, schedule={"every": "90m"}, **sent)).json()
    assert [one["scheduled_for"] for one in shown["occurrences"]] == ["2026-06-01T09:30:00Z"]


async def test_a_preview_ends_where_the_schedule_does(http: httpx2.AsyncClient) -> None:
    for schedule, count in (
        ({"every": "1h", "max_runs": 3}, 3),
        ({"every": "1h", "end": "2026-01-05T10:00:00Z"}, 1),
        ({"at": ["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]}, 2),
    ):
        assert len((await preview(http, schedule=schedule)).json()["occurrences"]) == count


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({}, ["/schedule"]),
        ({"schedule": {"cron": "x"}}, ["/schedule/cron"]),
        ({"schedule": {"cron": "x"}, "count": 1001}, ["/count", "/schedule/cron"]),
        ({"schedule": {"every": "1h"}, "from": "2026-01-01"}, ["/from"]),
        ({"schedule": {"every": "1h"}, "form": "2026-01-01T00:00:00Z"}, ["/form"]),
        ({"schedule": {"every": "1h", "timezone": "Mars/Base"}}, ["/schedule/timezone"]),
    ],
)
async def test_a_bad_preview_is_refused_with_its_pointers(
    http: httpx2.AsyncClient, sent: Any, pointers: list[str]
) -> None:
    answer = await http.post("/schedules/preview", json=sent)
    assert answer.status_code == 422
    assert sorted(error["pointer"] for error in answer.json()["errors"]) == pointers


async def test_upcoming_of_a_job_is_what_its_preview_says(http: httpx2.AsyncClient) -> None:
    await create(http, name="u", schedule=BERLIN)
    for more in ({}, {"from": "2026-10-24T00:00:00Z"}):
        shown = (await preview(http, schedule=BERLIN, count=3, **more)).json()
        answer = await http.get("/jobs/u/upcoming", params={"count": "3", **more})
        assert (answer.status_code, answer.json()) == (200, shown)


async def test_upcoming_of_a_paused_job_is_what_its_schedule_goes_on_naming(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="u")
    await http.post("/jobs/u/pause")
    clock.ms = MORNING_MS + 3 * HOUR_MS
    shown = (await http.get("/jobs/u/upcoming?count=1")).json()["occurrences"]
    assert [one["scheduled_for"] for one in shown] == ["2026-01-05T12:00:00Z"]


@pytest.mark.parametrize("query", ["count=0", "count=1001", "from=now", "until=x"])
async def test_a_bad_parameter_of_upcoming_is_named(http: httpx2.AsyncClient, query: str) -> None:
    await create(http, name="u")
    answer = await http.get(f"/jobs/u/upcoming?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


async def test_a_warning_is_gone_as_soon_as_its_instant_has_come(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="u", schedule=BERLIN)
    change_ms = 1_774_746_000_000  # 2026-03-29T01:00:00Z
    for now_ms, first in ((change_ms - 1, "2026-03-29T01:00:00Z"), (change_ms, None)):
        clock.ms = now_ms
        codes = {one["code"]: one["at"] for one in (await http.get("/jobs/u")).json()["warnings"]}
        assert codes["dst_gap"] == (first or "2027-03-28T01:00:00Z")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
async def test_from_the_last_instant_of_the_calendar_on_nothing_comes(
    http: httpx2.AsyncClient, zone: str
) -> None:
    last = "9999-12-31T23:59:59.999Z"
    schedule = {"cron": "30 2 * * *", "timezone": zone}
    shown = await http.post("/schedules/preview", json={"schedule": schedule, "from": last})
    assert (shown.status_code, shown.json()["occurrences"]) == (200, [])
    await create(http, name="u", schedule=schedule)
    listed = await http.get(f"/jobs/u/upcoming?from={last}")
    assert (listed.status_code, listed.json().get("occurrences")) == (200, []), listed.text
