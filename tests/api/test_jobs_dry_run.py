"""Dry runs of PUT and PATCH: the occurrences before and after, and nothing changed."""

import httpx2
import pytest

from factories import MORNING_MS, Clock, Json, body, create

MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(autouse=True)
def _morning(clock: Clock) -> None:
    clock.ms = MORNING_MS


async def test_a_dry_run_compares_the_occurrences_before_and_after_and_changes_nothing(
    http: httpx2.AsyncClient,
) -> None:
    made = await create(http, name="trial", schedule={"every": "1h"})
    changed = {"schedule": {"every": "30m"}}
    by_patch = await http.patch("/jobs/trial?dry_run=true", json=changed, headers=MERGE)
    by_put = await http.put("/jobs/trial?dry_run=true", json=body(**changed))
    assert by_patch.json() == by_put.json()
    shown: Json = by_put.json()
    assert shown["per_day"] == {"before": 24, "after": 48}
    assert [len(shown["before"]), len(shown["after"])] == [20, 20]
    assert shown["after"][0] == {
        "scheduled_for": "2026-01-05T08:30:00Z",
        "local": "2026-01-05T08:30:00+00:00",
        "note": None,
    }
    assert (await http.get("/jobs/trial")).json() == made


async def test_a_dry_run_of_a_put_that_would_create_has_nothing_before(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.put("/jobs/new?dry_run=true", json=body())
    shown = answer.json()
    assert (answer.status_code, shown["before"], shown["per_day"]["before"]) == (200, [], 0)
    assert len(shown["after"]) == 20
    assert (await http.get("/jobs/new")).status_code == 404


async def test_what_expressions_cut_into_too_many_stretches_is_told_from_an_hour(
    http: httpx2.AsyncClient,
) -> None:
    schedule = {"every": "1s", "exclude": ["*/2 * * * * *"]}
    answer = await http.put("/jobs/often?dry_run=true", json=body(schedule=schedule))
    assert answer.json()["per_day"] == {"before": 0, "after": 43_200}


async def test_a_dry_run_refuses_what_the_change_itself_would_refuse(
    http: httpx2.AsyncClient,
) -> None:
    await create(http, name="trial")
    for method in ("PUT", "PATCH"):
        answer = await http.request(
            method, "/jobs/trial?dry_run=true", json=body(schedule={"every": "1h", "cron": "x"})
        )
        assert answer.status_code == 422
