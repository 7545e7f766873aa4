"""POST /jobs and GET /jobs/{id}: what is made is what was said, and the rest has its defaults."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, URL, Clock, Json, body, claim, create
from scheduler_svc.domain.ids import run_id
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
RAW_BODY = b'{"pi":3.1415926535897932384626433832795,"big":1e2,"s":"\\u00e9","n":{"b":1,"a":2}}'


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def test_schedule_and_target_are_enough_and_the_rest_has_the_documented_defaults(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post("/jobs", json=body(schedule={"cron": "0 9 * * MON"}))
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/jobs/{made['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert list(made) == [
        *("id", "namespace", "name", "description", "labels", "schedule", "target", "retry"),
        *("misfire", "overlap", "priority", "alerts", "auto_pause_after"),
        *("delete_after_completion", "retention", "state", "pause", "next_fire_at", "upcoming"),
        *("last_run", "warnings", "revision", "created_at", "updated_at"),
    ]
    assert made["schedule"] == {
        "cron": "0 9 * * MON",
        "timezone": "UTC",
        "dst_gap": "auto",
        "dst_overlap": "auto",
        "spread": "0s",
        "start": None,
        "end": None,
        "max_runs": None,
        "exclude": [],
    }
    assert made["target"]["timeout"] == "30s"
    assert made["target"]["success_status"] == ["2xx"]
    assert made["retry"]["on"] == [408, 425, 429, "5xx"]
    assert made["misfire"] == {"policy": "once", "grace": "1m", "max_lateness": None}
    assert (made["state"], made["overlap"], made["name"]) == ("active", "skip", None)
    assert made["created_at"] == made["updated_at"] == "2026-01-05T08:00:00Z"
    assert made["next_fire_at"] == made["upcoming"][0] == "2026-01-05T09:00:00Z"
    assert len(made["upcoming"]) == 5


async def test_a_job_is_read_back_by_id_and_by_name_as_it_was_answered(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="nightly-report", labels={"team": "billing"})
    for key in (made["id"], "nightly-report", made["id"].upper()):
        answer = await http.get(f"/jobs/{key}")
        assert (answer.status_code, answer.json()) == (200, made)


async def test_the_body_of_a_target_keeps_its_exact_bytes(http: httpx2.AsyncClient) -> None:
    sent = b'{"schedule":{"every":"1h"},"target":{"url":"%s","body":%s}}' % (
        URL.encode(),
        RAW_BODY,
    )
    answer = await http.post("/jobs", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201
    assert RAW_BODY in (await http.get(f"/jobs/{answer.json()['id']}")).content


async def test_every_without_an_anchor_begins_now_and_fires_one_period_later(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, schedule={"every": "90m"})
    assert made["schedule"]["every"] == "1h30m"
    assert made["schedule"]["anchor"] == made["created_at"]
    assert made["next_fire_at"] == "2026-01-05T09:30:00Z"


async def test_instants_are_taken_with_any_offset_and_answered_in_utc_cut_to_milliseconds(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    clock.ms = MORNING_MS + 7
    made = await create(http, schedule={"at": "2026-01-05T12:00:00.1239+02:00"})
    assert made["next_fire_at"] == "2026-01-05T10:00:00.123Z"
    assert made["created_at"] == "2026-01-05T08:00:00.007Z"
    assert made["schedule"]["if_past"] == "reject"


async def test_spread_delays_the_sending_and_leaves_the_nominal_time(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, schedule={"cron": "0 * * * *", "spread": "50m"})
    assert made["upcoming"][0] == "2026-01-05T09:00:00Z"
    assert "2026-01-05T09:00:00" < made["next_fire_at"] < "2026-01-05T09:50:00"


async def test_a_dry_run_shows_twenty_occurrences_and_keeps_nothing(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post("/jobs?dry_run=true", json=body(name="trial"))
    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["id"], shown["name"], len(shown["upcoming"])) == (None, "trial", 20)
    assert shown["next_fire_at"] == "2026-01-05T09:00:00Z"
    assert (await http.get("/jobs/trial")).status_code == 404


async def test_a_name_is_taken_once_in_a_dry_run_too(http: httpx2.AsyncClient) -> None:
    await create(http, name="twice")
    for path in ("/jobs", "/jobs?dry_run=true"):
        answer = await http.post(path, json=body(name="twice"))
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


async def test_jobs_without_a_name_do_not_meet(http: httpx2.AsyncClient) -> None:
    first, second = await create(http), await create(http)
    assert first["name"] is second["name"] is None
    assert first["id"] != second["id"]


async def test_a_past_instant_runs_at_once_as_catch_up_when_told_so(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(
        http,
        schedule={"at": ["2026-01-05T07:00:00Z", "2026-01-05T10:00:00Z"], "if_past": "run"},
    )
    assert (made["state"], made["next_fire_at"]) == ("active", "2026-01-05T10:00:00Z")
    (run,) = (await http.get(f"/jobs/{made['id']}/runs")).json()["items"]
    assert (run["trigger"], run["status"]) == ("catch_up", "due")
    assert run["scheduled_for"] == "2026-01-05T07:00:00Z"
    assert run["next_attempt_at"] == "2026-01-05T08:00:00Z"


async def test_a_past_instant_is_skipped_with_a_reason_when_told_so(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, schedule={"at": "2026-01-05T07:00:00Z", "if_past": "skip"})
    assert (made["state"], made["next_fire_at"], made["upcoming"]) == ("completed", None, [])
    (run,) = (await http.get(f"/jobs/{made['id']}/runs")).json()["items"]
    assert (run["status"], run["reason"]) == ("skipped", "too_late")


async def test_several_past_instants_never_run_beside_each_other_unless_allowed(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    past = [f"2026-01-05T0{hour}:00:00Z" for hour in (5, 6, 7)]
    for overlap, queued in (("skip", 2), ("allow", 0)):
        made = await create(http, schedule={"at": past, "if_past": "run"}, overlap=overlap)
        found = await pool.fetch(
            "SELECT queued FROM runs WHERE job_id = $1 ORDER BY scheduled_for", made["id"]
        )
        assert [row["queued"] for row in found] == [False] + [bool(queued)] * 2


async def test_a_schedule_with_nothing_left_makes_a_completed_job(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, schedule={"cron": "0 9 * * *", "end": "2026-01-01T00:00:00Z"})
    assert (made["state"], made["next_fire_at"], made["upcoming"]) == ("completed", None, [])


async def test_upcoming_stops_where_max_runs_does(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await create(http, schedule={"every": "1h", "max_runs": 3})
    assert len(made["upcoming"]) == 3
    clock.ms = MORNING_MS + HOUR_MS
    await claim(pool, now_ms=clock.ms)
    again = (await http.get(f"/jobs/{made['id']}")).json()
    assert again["upcoming"] == ["2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z"]


async def test_asking_for_signatures_without_a_secret_warns(http: httpx2.AsyncClient) -> None:
    made = await create(http, target={"sign": True})
    assert [warning["code"] for warning in made["warnings"]] == ["unsigned"]


async def test_a_schedule_that_meets_a_clock_change_says_when_and_how(
    http: httpx2.AsyncClient,
) -> None:
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin"}
    made = await create(http, schedule=schedule)
    assert [(one["code"], one["at"]) for one in made["warnings"]] == [
        ("dst_gap", "2026-03-29T01:00:00Z"),
        ("dst_overlap", "2026-10-25T00:30:00Z"),
    ]


async def test_a_tag_that_still_holds_answers_304_without_a_body(http: httpx2.AsyncClient) -> None:
    made = await create(http)
    for sent, status in (('"1"', 304), ('W/"1"', 304), ("*", 304), ('"2"', 200)):
        answer = await http.get(f"/jobs/{made['id']}", headers={"If-None-Match": sent})
        assert (answer.status_code, answer.headers["ETag"]) == (status, '"1"')
        assert bool(answer.content) is (status == 200)


async def test_firing_moves_neither_the_tag_nor_the_revision(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await create(http)
    clock.ms = MORNING_MS + HOUR_MS
    (decision,) = await claim(pool, now_ms=clock.ms)
    answer = await http.get(f"/jobs/{made['id']}")
    assert answer.headers["ETag"] == '"1"'
    shown: Json = answer.json()
    assert shown["next_fire_at"] == "2026-01-05T10:00:00Z"
    assert shown["last_run"] == {
        "id": str(run_id(decision.job.id, clock.ms)),
        "status": "running",
        "scheduled_for": "2026-01-05T09:00:00Z",
        "finished_at": None,
    }


async def test_the_spec_view_is_what_put_accepts_and_changes_nothing(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="spec", labels={"a": "b"}, target={"body": {"x": [1, None]}})
    spec: Any = (await http.get("/jobs/spec?view=spec")).json()
    assert not {"id", "state", "revision", "upcoming"} & set(spec)
    answer = await http.put(f"/jobs/{made['id']}", json=spec)
    assert answer.json() == {**made, "changed": False}


@pytest.mark.parametrize(
    "key", ["nobody", "0198aaaa-0000-7000-8000-000000000000", "Not A Name", "a" * 200, "%00"]
)
async def test_an_unknown_job_is_404_under_every_verb(http: httpx2.AsyncClient, key: str) -> None:
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/trigger"),
        ("GET", "/runs"),
        ("GET", "/upcoming"),
    ):
        sent: Json | None = {} if method == "PATCH" else None
        answer = await http.request(method, f"/jobs/{key}{path}", json=sent)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, path)


async def test_a_job_of_another_namespace_is_not_there(
    http: httpx2.AsyncClient, pool: Pool
) -> None:
    made = await create(http, name="theirs")
    await pool.execute("UPDATE jobs SET namespace = 'other'")
    for key in ("theirs", made["id"]):
        assert (await http.get(f"/jobs/{key}")).status_code == 404
        assert (await http.delete(f"/jobs/{key}")).status_code == 404
    assert (await http.get("/jobs")).json()["items"] == []
    assert await pool.fetchval("SELECT count(*) FROM jobs") == 1
