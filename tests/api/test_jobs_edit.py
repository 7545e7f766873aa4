"""PUT and PATCH: what changes, what stays, and that the cadence is sacred (G7)."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, URL, Clock, body, create

HOUR_MS = 3_600_000
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def patch(http: httpx2.AsyncClient, key: str, changes: Any, **more: Any) -> httpx2.Response:
    return await http.patch(f"/jobs/{key}", json=changes, headers=MERGE, **more)


async def test_put_creates_by_name_and_says_that_it_changed(http: httpx2.AsyncClient) -> None:
    answer = await http.put("/jobs/by-name", json=body())
    made = answer.json()
    assert (answer.status_code, made["name"], made["changed"]) == (201, "by-name", True)
    assert answer.headers["Location"] == f"/jobs/{made['id']}"
    assert answer.headers["ETag"] == '"1"'


async def test_put_again_with_the_same_changes_nothing(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    first = (await http.put("/jobs/same", json=body(schedule={"every": "90m"}))).json()
    clock.ms = MORNING_MS + 5000
    answer = await http.put("/jobs/same", json=body(name="same", schedule={"every": "1h30m"}))
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    assert answer.json() == {**first, "changed": False}


async def test_put_replaces_everything_and_raises_the_revision(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await http.put("/jobs/replaced", json=body(labels={"a": "b"}, description="old"))
    clock.ms = MORNING_MS + 5000
    answer = await http.put("/jobs/replaced", json=body(priority=7))
    after = answer.json()
    assert (answer.status_code, after["changed"], after["revision"]) == (200, True, 2)
    assert (after["labels"], after["description"], after["priority"]) == ({}, "", 7)
    assert (after["created_at"], after["updated_at"]) == (
        "2026-01-05T08:00:00Z",
        "2026-01-05T08:00:05Z",
    )
    assert answer.headers["ETag"] == '"2"'


async def test_put_by_id_replaces_and_may_rename_and_an_unknown_id_is_404(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="before")
    answer = await http.put(f"/jobs/{made['id']}", json=body(name="after"))
    assert (answer.status_code, answer.json()["name"]) == (200, "after")
    assert (await http.get("/jobs/before")).status_code == 404
    unknown = made["id"][:-4] + "0000"
    assert (await http.put(f"/jobs/{unknown}", json=body())).status_code == 404


async def test_put_with_another_name_in_the_body_or_an_impossible_one_in_the_path_is_422(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="one")
    for path in ("one", "not-there-yet"):
        answer = await http.put(f"/jobs/{path}", json=body(name="two"))
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/name"]
    answer = await http.put("/jobs/Not%20A%20Name", json=body())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "id"


async def test_renaming_to_a_name_in_use_is_409(http: httpx2.AsyncClient) -> None:
    await create(http, name="one")
    two = await create(http, name="two")
    answer = await http.put(f"/jobs/{two['id']}", json=body(name="one"))
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    answer = await patch(http, "two", {"name": "one"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


async def test_preconditions_make_put_create_only_or_replace_only(
    http: httpx2.AsyncClient,
) -> None:
    only_new, only_old = {"If-None-Match": "*"}, {"If-Match": "*"}
    assert (await http.put("/jobs/x", json=body(), headers=only_old)).status_code == 412
    assert (await http.put("/jobs/x", json=body(), headers=only_new)).status_code == 201
    assert (await http.put("/jobs/x", json=body(), headers=only_new)).status_code == 412
    assert (await http.put("/jobs/x", json=body(), headers=only_old)).status_code == 200
    assert (await http.put("/jobs/x", json=body(), headers={"If-Match": '"1"'})).status_code == 200


async def test_put_and_patch_leave_a_paused_job_paused(http: httpx2.AsyncClient) -> None:
    await create(http, name="asleep")
    await http.post("/jobs/asleep/pause", json={"reason": "holidays"})
    answer = await http.put("/jobs/asleep", json=body(schedule={"every": "5m"}))
    assert (answer.json()["state"], answer.json()["next_fire_at"]) == ("paused", None)
    answer = await patch(http, "asleep", {"schedule": {"every": "7m"}})
    assert (answer.json()["state"], answer.json()["pause"]["reason"]) == ("paused", "holidays")


async def test_an_empty_patch_keeps_the_revision_and_null_restores_a_default(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="patched", description="x", retry={"max_attempts": 9})
    answer = await patch(http, "patched", {})
    assert (answer.status_code, answer.json()) == (200, made)
    after = (await patch(http, "patched", {"retry": None, "description": None})).json()
    assert (after["retry"]["max_attempts"], after["description"]) == (4, "")
    assert (after["name"], after["revision"]) == ("patched", 2)


async def test_a_patch_is_taken_as_plain_json_too_and_no_other_type(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http)
    answer = await http.patch(f"/jobs/{made['id']}", json={"priority": 3})
    assert (answer.status_code, answer.json()["priority"]) == (200, 3)
    answer = await http.patch(
        f"/jobs/{made['id']}", content=b"{}", headers={"Content-Type": "text/json"}
    )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"prioriti": 1}, "/prioriti", "unknown_field"),
        ({"prioriti": None}, "/prioriti", "unknown_field"),
        ({"revision": 2}, "/revision", "read_only"),
        ({"target": {"hedaers": {}}}, "/target/hedaers", "unknown_field"),
        ({"target": {"url": None}}, "/target/url", "invalid"),
        ({"schedule": {"cron": "* * * * *"}}, "/schedule", "invalid"),
        ({"priority": 1000}, "/priority", "invalid"),
        ([], "", "invalid"),
    ],
)
async def test_a_bad_patch_is_refused_with_its_pointer_and_changes_nothing(
    http: httpx2.AsyncClient, changes: Any, pointer: str, code: str
) -> None:
    made = await create(http)
    answer = await patch(http, made["id"], changes)
    assert answer.status_code == 422
    assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [(pointer, code)]
    assert (await http.get(f"/jobs/{made['id']}")).json() == made


async def test_another_kind_of_schedule_needs_only_the_old_kind_set_to_null(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="kind", schedule={"every": "1h"})
    for changes, kept in (
        ({"every": None, "cron": "0 9 * * *"}, "cron"),
        ({"cron": None, "at": "2026-02-01T00:00:00Z"}, "at"),
        ({"at": None, "every": "2h"}, "every"),
    ):
        answer = await patch(http, "kind", {"schedule": changes})
        assert answer.status_code == 200, answer.text
        assert set(answer.json()["schedule"]) & {"every", "cron", "at"} == {kept}
    now = (await http.get("/jobs/kind")).json()
    assert now["schedule"]["anchor"] == "2026-01-05T08:00:00Z"


async def test_an_edit_of_other_fields_never_moves_the_next_occurrence(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    made = await create(http, name="steady", schedule={"every": "1h"})
    clock.ms = MORNING_MS + HOUR_MS // 2
    for changes in ({"target": {"url": f"{URL}2"}}, {"priority": 5}, {"labels": {"a": "b"}}):
        answer = await patch(http, "steady", changes)
        assert answer.json()["next_fire_at"] == made["next_fire_at"]
    answer = await http.put("/jobs/steady", json=body(overlap="allow"))
    assert (answer.json()["next_fire_at"], answer.json()["changed"]) == (
        made["next_fire_at"],
        True,
    )


async def test_a_put_without_an_anchor_keeps_the_one_that_the_job_has(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    made = await create(http, name="anchored", schedule={"every": "1h"})
    clock.ms = MORNING_MS + HOUR_MS // 2
    after = (await http.put("/jobs/anchored", json=body(schedule={"every": "2h"}))).json()
    assert after["schedule"]["anchor"] == made["schedule"]["anchor"]
    assert after["next_fire_at"] == "2026-01-05T10:00:00Z"


async def test_editing_a_schedule_never_fires_at_once(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="edited", schedule={"cron": "0 12 * * *"})
    clock.ms = MORNING_MS + HOUR_MS
    after = (await patch(http, "edited", {"schedule": {"cron": "0 9 * * *"}})).json()
    assert after["next_fire_at"] == "2026-01-06T09:00:00Z"
    after = (await patch(http, "edited", {"schedule": {"cron": "0 10 * * *"}})).json()
    assert after["next_fire_at"] == "2026-01-05T10:00:00Z"
    assert (await http.get("/jobs/edited/runs")).json()["items"] == []


async def test_an_occurrence_in_wait_for_its_spread_outlives_an_edit_that_names_it_too(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    spread = {"cron": "0 * * * *", "spread": "50m"}
    made = await create(http, name="spread", schedule=spread)
    clock.ms = MORNING_MS + HOUR_MS + 1
    after = (await patch(http, "spread", {"schedule": {"max_runs": 7}})).json()
    assert after["next_fire_at"] == made["next_fire_at"]
    assert after["upcoming"][0] == "2026-01-05T09:00:00Z"
    after = (await patch(http, "spread", {"schedule": {"spread": "0s"}})).json()
    assert after["next_fire_at"] == "2026-01-05T10:00:00Z"


async def test_what_was_due_before_an_edit_of_the_schedule_is_not_lost(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="down", schedule={"cron": "0 * * * *"})
    clock.ms = MORNING_MS + 3 * HOUR_MS + 120_000
    after = (await patch(http, "down", {"schedule": {"cron": "30 * * * *"}})).json()
    assert after["next_fire_at"] == "2026-01-05T11:30:00Z"
    newest, merged = (await http.get("/jobs/down/runs")).json()["items"]
    assert (newest["scheduled_for"], newest["trigger"], newest["status"]) == (
        "2026-01-05T11:00:00Z",
        "catch_up",
        "due",
    )
    assert (merged["status"], merged["reason"], merged["occurrences"]) == ("skipped", "merged", 2)
    assert (merged["scheduled_for"], merged["scheduled_until"]) == (
        "2026-01-05T09:00:00Z",
        "2026-01-05T10:00:00Z",
    )


async def test_a_completed_job_whose_new_schedule_has_occurrences_is_active_again(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="again", schedule={"cron": "0 * * * *", "end": "2026-01-05T00:00:00Z"})
    after = (await patch(http, "again", {"schedule": {"end": None}})).json()
    assert (after["state"], after["next_fire_at"]) == ("active", "2026-01-05T09:00:00Z")
    after = (await patch(http, "again", {"schedule": {"end": "2026-01-05T08:30:00Z"}})).json()
    assert (after["state"], after["next_fire_at"], after["revision"]) == ("completed", None, 3)


async def test_only_instants_that_are_new_in_a_request_are_judged_for_being_past(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    at = ["2026-01-05T09:00:00Z", "2026-01-05T12:00:00Z"]
    await create(http, name="dated", schedule={"at": at})
    clock.ms = MORNING_MS + 2 * HOUR_MS
    answer = await http.put("/jobs/dated", json=body(schedule={"at": at}))
    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert (await patch(http, "dated", {"priority": 1})).status_code == 200
    later = {"schedule": {"at": [*at, "2026-01-05T09:30:00Z"]}}
    answer = await patch(http, "dated", later)
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/schedule/at/2"]


async def test_a_patch_keeps_the_exact_bytes_of_a_body_it_does_not_touch(
    http: httpx2.AsyncClient,
) -> None:
    raw = b'{"pi":3.14159265358979323846264338327950288,"b":1,"a":2}'
    sent = b'{"schedule":{"every":"1h"},"target":{"url":"%s","body":%s}}' % (URL.encode(), raw)
    made = await http.post("/jobs", content=sent, headers={"Content-Type": "application/json"})
    answer = await patch(http, made.json()["id"], {"target": {"timeout": "5s"}})
    assert answer.status_code == 200
    assert raw in answer.content


async def test_deleting_answers_204_and_leaves_the_history(http: httpx2.AsyncClient) -> None:
    made = await create(http, name="gone")
    run = (await http.post("/jobs/gone/trigger")).json()
    answer = await http.delete("/jobs/gone", headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await http.get(f"/jobs/{made['id']}")).status_code == 404
    assert (await http.get(f"/jobs/{made['id']}/runs")).status_code == 404
    (kept,) = (await http.get(f"/runs?job_id={made['id']}")).json()["items"]
    assert (kept["id"], kept["status"], kept["reason"]) == (run["id"], "cancelled", "job_deleted")
    assert (await http.put("/jobs/gone", json=body())).status_code == 201


async def test_the_same_body_with_other_spaces_is_no_change(http: httpx2.AsyncClient) -> None:
    kind = {"Content-Type": "application/json"}
    text = '{"schedule":{"every":"1h"},"target":{"url":"https://example.com/","body":%s}}'
    await http.put("/jobs/a", content=text % '{"a": [1, " b "]}', headers=kind)
    again = await http.put("/jobs/a", content=text % '{"a":[1," b "]}', headers=kind)
    assert (again.json()["changed"], again.json()["revision"]) == (False, 1)
    other = await http.put("/jobs/a", content=text % '{"a":[1,"b"]}', headers=kind)
    assert (other.json()["changed"], other.json()["revision"]) == (True, 2)
