"""If-Match on every change of a job: done where the job is as the caller saw it, else 412."""

from typing import Any

import httpx2
import pytest

from factories import MORNING_MS, Clock, body, create

RANGE = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
CHANGES: dict[str, tuple[str, str, Any]] = {
    "put": ("PUT", "/jobs/j", body(priority=2)),
    "patch": ("PATCH", "/jobs/j", {"priority": 2}),
    "delete": ("DELETE", "/jobs/j", None),
    "pause": ("POST", "/jobs/j/pause", None),
    "resume": ("POST", "/jobs/j/resume", None),
    "trigger": ("POST", "/jobs/j/trigger", None),
    "backfill": ("POST", "/jobs/j/backfill", RANGE),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_a_job_that_has_changed_since_is_refused(
    http: httpx2.AsyncClient, clock: Clock, change: str
) -> None:
    clock.ms = MORNING_MS
    await create(http, name="j")
    assert (await http.patch("/jobs/j", json={"priority": 1})).headers["etag"] == '"2"'
    method, path, sent = CHANGES[change]
    stale = await http.request(method, path, json=sent, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    seen = (await http.get("/jobs/j")).json()
    assert (seen["revision"], seen["state"]) == (2, "active")
    assert (await http.get("/runs")).json()["items"] == []
    assert (await http.get("/backfills")).json()["items"] == []
    fresh = await http.request(method, path, json=sent, headers={"If-Match": '"2"'})
    assert fresh.status_code < 300
