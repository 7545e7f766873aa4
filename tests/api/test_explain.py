"""Explain: every instant of a job has a verdict, a rule and a sentence, and names the ledger."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from factories import MORNING_MS, Clock, claim, create, settle
from scheduler_svc.domain.ids import run_id
from scheduler_svc.store import partitions
from scheduler_svc.store.pool import Pool

HOUR_MS = 3_600_000
NINE = "2026-01-05T09:00:00Z"
NINE_MS = MORNING_MS + HOUR_MS


@pytest.fixture(autouse=True)
async def _morning(clock: Clock, pool: Pool) -> None:
    """Begin on a Monday morning, with a history that goes back to the day before."""
    clock.ms = MORNING_MS
    async with pool.acquire() as conn:
        await partitions.ensure(conn, today=date(2026, 1, 5), ahead=1)


async def explain(http: httpx2.AsyncClient, key: str, at: str) -> dict[str, Any]:
    answer = await http.get(f"/jobs/{key}/explain", params={"at": at})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert sorted(told) == ["at", "detail", "reason", "run_id", "verdict"]
    assert told["detail"].endswith(".")
    return told


async def said(http: httpx2.AsyncClient, key: str, at: str) -> tuple[str, str]:
    told = await explain(http, key, at)
    return told["verdict"], told["reason"]


@pytest.mark.parametrize(
    ("schedule", "at", "expected", "word"),
    [
        ({"cron": "0 9 * * *"}, NINE, ("fires", "cron"), "At 09:00"),
        ({"every": "1h", "anchor": "2026-01-01T00:00:00Z"}, NINE, ("fires", "every"), "Every hour"),
        ({"at": NINE}, NINE, ("fires", "at"), "Once at"),
        ({"cron": "0 9 * * *"}, "2026-01-05T09:00:01Z", ("never", "no_occurrence"), NINE),
        (
            {"cron": "0 9 * * *", "exclude": ["* * 5 1 *"]},
            NINE,
            ("skipped", "excluded"),
            "'* * 5 1 *' in UTC",
        ),
        (
            {"cron": "0 9 * * *", "exclude": [{"from": NINE, "to": "2026-01-05T10:00:00Z"}]},
            NINE,
            ("skipped", "excluded"),
            "the window from 2026-01-05T09:00:00Z to 2026-01-05T10:00:00Z",
        ),
        (
            {"cron": "0 9 * * *", "start": "2026-01-06T00:00:00Z"},
            NINE,
            ("never", "start"),
            "starts",
        ),
        ({"cron": "0 * * * *", "end": NINE}, NINE, ("never", "end"), "ends before"),
        ({"cron": "0 * * * *", "max_runs": 1}, NINE, ("fires", "cron"), ""),
        (
            {"cron": "0 * * * *", "max_runs": 1},
            "2026-01-05T10:00:00Z",
            ("skipped", "max_runs"),
            "1",
        ),
        ({"cron": "0 * * * *"}, "2026-01-05T07:00:00Z", ("never", "not_created"), "created"),
        ({"cron": "0 * * * *"}, "2300-01-01T00:00:00Z", ("never", "no_occurrence"), "2199"),
        ({"cron": "0 * * * *"}, "1960-01-01T00:00:00Z", ("never", "no_occurrence"), "1970"),
    ],
)
async def test_the_schedule_answers_where_the_ledger_does_not(
    http: httpx2.AsyncClient, schedule: Any, at: str, expected: tuple[str, str], word: str
) -> None:
    await create(http, name="x", schedule=schedule)
    told = await explain(http, "x", at)
    assert (told["verdict"], told["reason"]) == expected
    assert word in told["detail"]
    assert told["run_id"] is None


@pytest.mark.parametrize(
    ("more", "at", "expected", "word"),
    [
        ({}, "2026-03-29T02:30:00+01:00", ("never", "dst_gap"), "2026-03-29T01:00:00Z"),
        ({}, "2026-03-29T01:00:00Z", ("fires", "cron"), "02:30 does not exist"),
        ({"dst_gap": "skip"}, "2026-03-29T01:30:00Z", ("never", "dst_gap"), "is skipped"),
        ({}, "2026-10-25T02:30:00+02:00", ("fires", "cron"), "first pass"),
        ({}, "2026-10-25T02:30:00+01:00", ("never", "dst_overlap"), "2026-10-25T00:30:00Z"),
        (
            {"dst_overlap": "second"},
            "2026-10-25T02:30:00+02:00",
            ("never", "dst_overlap"),
            "2026-10-25T01:30:00Z",
        ),
        ({"dst_overlap": "both"}, "2026-10-25T01:30:00Z", ("fires", "cron"), "second pass"),
    ],
)
async def test_a_clock_change_is_the_reason_where_it_is(
    http: httpx2.AsyncClient, more: Any, at: str, expected: tuple[str, str], word: str
) -> None:
    schedule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", **more}
    await create(http, name="x", schedule=schedule)
    told = await explain(http, "x", at)
    assert (told["verdict"], told["reason"]) == expected
    assert word in told["detail"]


async def test_the_spread_is_named_at_both_of_its_ends(http: httpx2.AsyncClient) -> None:
    made = await create(http, name="x", schedule={"cron": "0 9 * * *", "spread": "30m"})
    told = await explain(http, "x", NINE)
    assert (told["verdict"], told["reason"]) == ("fires", "cron")
    assert made["next_fire_at"] in told["detail"]
    assert await said(http, "x", made["next_fire_at"]) == ("never", "spread")


async def test_a_run_is_followed_from_due_to_its_end(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    made = await create(http, name="x", schedule={"cron": "0 9 * * *"})
    own = str(run_id(UUID(made["id"]), NINE_MS))
    clock.ms = NINE_MS - 500
    await claim(pool, now_ms=clock.ms, replica=uuid4())
    assert await said(http, "x", NINE) == ("fires", "held")
    clock.ms = NINE_MS + 500
    assert await said(http, "x", NINE) == ("fired", "running")
    await settle(pool, own, made["id"], now_ms=clock.ms)
    told = await explain(http, "x", NINE)
    assert (told["verdict"], told["reason"], told["run_id"]) == ("fired", "succeeded", own)
    assert "7 ms late" in told["detail"]


async def test_what_nobody_has_claimed_yet_is_due(http: httpx2.AsyncClient, clock: Clock) -> None:
    await create(http, name="x", schedule={"cron": "0 9 * * *"})
    clock.ms = NINE_MS + 1
    assert await said(http, "x", NINE) == ("fires", "due")


async def test_a_range_answers_for_each_of_its_occurrences_and_for_nothing_between(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    misfire = {"policy": "skip"}
    await create(http, name="x", schedule={"cron": "*/10 * * * *"}, misfire=misfire)
    clock.ms = NINE_MS + 5 * 60_000
    await claim(pool, now_ms=clock.ms)
    (row,) = await pool.fetch("SELECT * FROM runs WHERE occurrences > 1")
    told = [await explain(http, "x", f"2026-01-05T08:{minute}:00Z") for minute in (10, 30, 50)]
    for one in told:
        assert (one["verdict"], one["reason"]) == ("skipped", "misfire")
        assert one["run_id"] == str(row["id"])
        assert "one row of the ledger for" in one["detail"]
    assert await said(http, "x", "2026-01-05T08:15:00Z") == ("never", "no_occurrence")


async def test_a_pause_answers_before_its_row_is_written_and_after(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="x", schedule={"cron": "0 * * * *"})
    await http.post("/jobs/x/pause", json={"reason": "holidays"})
    told = await explain(http, "x", NINE)
    assert (told["verdict"], told["reason"]) == ("skipped", "paused")
    assert "holidays" in told["detail"]
    clock.ms = NINE_MS + 60_000
    assert await said(http, "x", NINE) == ("skipped", "paused")
    await http.post("/jobs/x/resume")
    told = await explain(http, "x", NINE)
    assert (told["verdict"], told["reason"]) == ("skipped", "paused")
    assert told["run_id"] is not None


async def test_an_instant_that_only_the_new_schedule_names_was_not_named_then(
    http: httpx2.AsyncClient, clock: Clock
) -> None:
    await create(http, name="x", schedule={"cron": "0 12 * * *"})
    clock.ms = NINE_MS + 60_000
    await http.patch("/jobs/x", json={"schedule": {"cron": "0 * * * *"}})
    assert await said(http, "x", NINE) == ("never", "edited")


async def test_a_completed_job_fires_no_more(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    await create(http, name="x", schedule={"cron": "0 * * * *", "max_runs": 1})
    clock.ms = NINE_MS + 1
    await claim(pool, now_ms=clock.ms)
    assert await said(http, "x", NINE) == ("fired", "running")
    assert await said(http, "x", "2026-01-05T10:00:00Z") == ("skipped", "max_runs")


async def test_a_manual_run_answers_for_its_instant(http: httpx2.AsyncClient, clock: Clock) -> None:
    await create(http, name="x", schedule={"cron": "0 12 * * *"})
    clock.ms = NINE_MS
    run = (await http.post("/jobs/x/trigger")).json()
    told = await explain(http, "x", NINE)
    assert (told["verdict"], told["reason"], told["run_id"]) == ("fires", "due", run["id"])


async def test_without_an_instant_it_answers_for_now(http: httpx2.AsyncClient) -> None:
    await create(http, name="x")
    assert (await http.get("/jobs/x/explain")).json()["at"] == "2026-01-05T08:00:00Z"


@pytest.mark.parametrize("query", ["at=now", "at=2026-01-05T09:00:00", "when=x"])
async def test_a_bad_instant_is_named(http: httpx2.AsyncClient, query: str) -> None:
    await create(http, name="x")
    answer = await http.get(f"/jobs/x/explain?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == query.partition("=")[0]


async def test_a_job_that_is_not_there_is_404(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/jobs/nobody/explain")).status_code == 404


async def test_what_lies_before_the_kept_history_was_pruned(
    http: httpx2.AsyncClient, pool: Pool, clock: Clock
) -> None:
    clock.ms = MORNING_MS - 30 * 24 * HOUR_MS
    await create(http, name="x", schedule={"cron": "0 9 * * *"})
    clock.ms = MORNING_MS
    await claim(pool, now_ms=clock.ms)
    await pool.execute("DELETE FROM runs")
    oldest = await pool.fetchval("SELECT min(relname) FROM pg_class WHERE relname LIKE 'runs_p%'")
    day = date.fromisoformat(oldest.removeprefix("runs_p"))
    before = f"{day - timedelta(days=1)}T09:00:00Z"
    assert await said(http, "x", before) == ("never", "pruned")
